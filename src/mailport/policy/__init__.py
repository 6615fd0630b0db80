"""May this happen? Pure decisions: (facts, configuration) -> Reply. No socket, clock, file or server in here."""
