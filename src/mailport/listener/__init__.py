"""Sockets, sessions, and the life of a serving process."""
