"""PURE. Whether an InboundSmtp may be served."""
