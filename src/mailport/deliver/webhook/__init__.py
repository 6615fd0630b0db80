"""Mail to a program, by HTTP POST."""
