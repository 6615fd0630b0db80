"""Asks the world about a client and its messages. What follows from the answers is decided in policy/."""
