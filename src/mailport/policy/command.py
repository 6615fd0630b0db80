"""PURE. The arguments of MAIL, RCPT and BDAT: RFC 5321 §4.1.1.2 and §4.1.1.3, RFC 3030 §2.

Three liberties, each with one meaning only, because senders take them and Postfix has always allowed them: white space
behind the colon, a path without its angle brackets, and a source route, which is skipped (RFC 5321 appendix C).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from mailport.address import Address
from mailport.policy.replies import Reply

BAD_SENDER = Reply(501, "5.1.7", "syntax: MAIL FROM:<address>", "syntax")
BAD_RECIPIENT = Reply(501, "5.1.3", "syntax: RCPT TO:<address>", "syntax")
BAD_PARAMETER = Reply(501, "5.5.4", "syntax error in a parameter", "syntax")
UNKNOWN_PARAMETER = Reply(555, "5.5.4", "parameter not recognized", "syntax")

_HOP = r'@(?:\[[^][\s<>"]*\]|[^][\s<>"@:,]+)'
_SOURCE_ROUTE = f"{_HOP}(?:,{_HOP})*:"
_MAILBOX = r'(?:[^\s<>"]++|"(?:[^"\\]|\\.)*+")'  # where it ends; what it may hold is address.py's
_PATH = rf"[ \t]*(?:<(?:{_SOURCE_ROUTE}(?=[^>]))?({_MAILBOX}*+)>|({_MAILBOX}++))"
_MAIL = re.compile(rf"(?i:FROM:){_PATH}((?:[ \t].*)?)")
_RCPT = re.compile(rf"(?i:TO:){_PATH}((?:[ \t].*)?)")
_SPACES = re.compile(r"[ \t]+")
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~]+))?")  # esmtp-param
_SIZE = re.compile(r"[0-9]{1,20}")  # RFC 1870 §4
_BDAT = re.compile(rb"([0-9]{1,20})(?: +(LAST))? *", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class MailCommand:
    """MAIL, understood."""

    sender: Address | None  # None is the null sender <>
    size: int | None = None  # octets, as declared (RFC 1870); None when not said
    body_8bitmime: bool = False  # RFC 6152
    smtputf8: bool = False  # RFC 6531 §3.4


@dataclass(frozen=True, slots=True)
class RcptCommand:
    """RCPT, understood."""

    recipient: Address | None  # None is <postmaster>, without a domain (RFC 5321 §4.5.1)


@lru_cache(maxsize=1024)  # a mailbox, and a sender's form of asking, come again and again
def mail(argument: bytes, *, extended: bool = True) -> MailCommand | Reply:
    """Read what stands behind MAIL. Without `extended` (HELO was said, not EHLO) there are no parameters."""
    try:
        path, parameters = _split(_MAIL, argument)
        sender = Address.parse(path) if path else None
    except ValueError:
        return BAD_SENDER
    if not parameters:
        return MailCommand(sender)
    return _with_parameters(sender, _SPACES.split(parameters)) if extended else UNKNOWN_PARAMETER


@lru_cache(maxsize=1024)
def rcpt(argument: bytes, *, extended: bool = True) -> RcptCommand | Reply:
    """Read what stands behind RCPT. None of the extensions that we offer has a parameter here."""
    try:
        path, parameters = _split(_RCPT, argument)
        recipient = None if path.lower() == "postmaster" else Address.parse(path)
    except ValueError:
        return BAD_RECIPIENT
    if not parameters:
        return RcptCommand(recipient)
    malformed = extended and not all(map(_PARAMETER.fullmatch, _SPACES.split(parameters)))
    return BAD_PARAMETER if malformed else UNKNOWN_PARAMETER


def bdat(argument: bytes) -> tuple[int | None, bool]:
    """Read what stands behind BDAT: the chunk's octets, None where that is no number, and whether it is the last."""
    match = _BDAT.fullmatch(argument)
    return (int(match[1]), match[2] is not None) if match else (None, False)


def _split(command: re.Pattern[str], argument: bytes) -> tuple[str, str]:
    """Split an argument into path and parameters. ValueError where it is not UTF-8 or has no path."""
    match = command.fullmatch(argument.decode())
    if match is None:
        raise ValueError("no path")
    in_brackets, bare, parameters = match.groups()
    return in_brackets if bare is None else bare, parameters.strip(" \t")


def _with_parameters(sender: Address | None, words: list[str]) -> MailCommand | Reply:
    """Read MAIL's parameters, each of which may stand there once."""
    size, body_8bitmime, smtputf8 = None, False, False
    seen = set()
    for word in words:
        match = _PARAMETER.fullmatch(word)
        if match is None or match[1].upper() in seen:
            return BAD_PARAMETER
        keyword, value = match[1].upper(), match[2]
        seen.add(keyword)
        if keyword == "SIZE" and value is not None and _SIZE.fullmatch(value):
            size = int(value)
        elif keyword == "BODY" and value is not None and value.upper() in {"7BIT", "8BITMIME"}:
            body_8bitmime = value.upper() == "8BITMIME"
        elif keyword == "SMTPUTF8" and value is None:
            smtputf8 = True
        elif keyword == "AUTH" and value is not None:
            pass  # RFC 4954 §5: whom the client vouches for. Nobody here relies on that
        else:
            return BAD_PARAMETER if keyword in {"SIZE", "BODY", "SMTPUTF8", "AUTH"} else UNKNOWN_PARAMETER
    return MailCommand(sender, size, body_8bitmime, smtputf8)
