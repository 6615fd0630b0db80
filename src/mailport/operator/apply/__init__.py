"""Makes the children in the cluster what was rendered."""
