"""A message on its way through: its content, its header section, its trace fields, its envelope."""
