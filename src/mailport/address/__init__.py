"""Mail addresses, patterns of them, and ranges of IP addresses. All of it is pure."""
