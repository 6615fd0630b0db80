"""PURE. An InboundSmtp becomes the objects that serve it."""
