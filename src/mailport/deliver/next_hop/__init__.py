"""SMTP and LMTP as a client: what `lmtp` and `smtp` have in common."""
