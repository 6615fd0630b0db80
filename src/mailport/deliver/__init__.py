"""Where mail goes: a package or a file a destination, each of them a `Destination` of deliver/destination.py."""
