"""The document: its model, its rules, and the way from files to one checked InboundSmtp. All of it is pure."""
