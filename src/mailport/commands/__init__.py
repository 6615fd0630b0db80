"""The commands of `mailport`, one file each, and what several of them need (conversation.py, options.py)."""
