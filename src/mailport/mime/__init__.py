"""PURE. A message read for programs: its fields decoded, its text, its attachments (RFC 2045 to 2049, 2231, 5322).

What comes in is anything: whoever sends mail writes it. So the time that reading takes grows with the octets and no
more, what it holds in memory does not grow with them, and nothing is ever raised for what a message holds. That is why
the standard library's email package does not do it: docs/decisions/2026-11-28-mime.md.
"""
