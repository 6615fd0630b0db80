"""PURE. What does EHLO offer? RFC 5321 §4.1.1.1."""

from __future__ import annotations

from mailport.policy import auth


def ehlo(hostname: str, *, size: int, max_recipients: int, starttls: bool, auth_offered: bool) -> bytes:
    """Return the whole reply. `size` is messageSize.advertised, 0 for no limit (RFC 1870 §3)."""
    lines = [hostname, "PIPELINING", f"SIZE {size}"]
    if starttls:
        lines.append("STARTTLS")
    if auth_offered:
        lines.append(" ".join(("AUTH", *auth.MECHANISMS)))
    lines += ["8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING"]
    if max_recipients:
        lines.append(f"LIMITS RCPTMAX={max_recipients}")  # RFC 9422 §4.2
    last = lines.pop()
    return "".join([f"250-{line}\r\n" for line in lines] + [f"250 {last}\r\n"]).encode("ascii")
