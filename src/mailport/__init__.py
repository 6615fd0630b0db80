"""Mailport: an inbound SMTP gateway for Kubernetes, and for a laptop."""

__version__ = "0.1.0"
