"""Where mail goes: one file a destination, each of them a `Destination` of deliver/destination.py."""
