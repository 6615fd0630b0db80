"""Mailboxes on disk, as Maildir++: on disk before the 250."""
