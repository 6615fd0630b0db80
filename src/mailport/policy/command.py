"""PURE. The arguments of EHLO, MAIL, RCPT and BDAT: RFC 5321 §4.1.1.1 to §4.1.1.3, RFC 3030 §2.

Three departures from that syntax are taken, as Postfix takes them, because senders use them and each can mean one thing
only: white space behind the colon, a path without its angle brackets, and a source route, which is ignored (RFC 5321
appendix C).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from mailport.address.mail_address import Address
from mailport.policy import replies
from mailport.policy.replies import Reply

_HOP = r'@(?:\[[^][\s<>"]*\]|[^][\s<>"@:,]+)'
_SOURCE_ROUTE = f"{_HOP}(?:,{_HOP})*:"
_MAILBOX = r'(?:[^\s<>"]++|"(?:[^"\\]|\\.)*+")'  # finds where it ends; mail_address.py looks at what it holds
_PATH = rf"[ \t]*(?:<(?:{_SOURCE_ROUTE}(?=[^>]))?({_MAILBOX}*+)>|({_MAILBOX}++))"
_MAIL = re.compile(rf"(?i:FROM:){_PATH}((?:[ \t].*)?)")
_RCPT = re.compile(rf"(?i:TO:){_PATH}((?:[ \t].*)?)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # of ASCII (C0 and DEL) and of Unicode (C1)
_SPACES = re.compile(r"[ \t]+")
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^\x00-\x20=\x7f-\x9f]+))?")  # esmtp-param (RFC 6531 §3.3)
_XTEXT = r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})"  # one character of it (RFC 3461 §4)
_XTEXT_UTF8 = r"(?:[^\x00-\x20+=\x7f-\x9f]|\+[0-9A-F]{2})"  # with utf-8-addr-unitext (RFC 6533 §3)

# The parameters that are known, and the form of their values. AUTH and those of DSN are accepted and ignored: nothing
# here relies on the submitter that AUTH names, and DSN is not offered, though some use it all the same.
_OF_MAIL = {
    "SIZE": re.compile(r"[0-9]{1,20}"),  # RFC 1870 §3
    "BODY": re.compile(r"(?i:7BIT|8BITMIME)"),  # RFC 6152 §2
    "SMTPUTF8": re.compile(""),  # RFC 6531 §3.4
    "AUTH": re.compile(rf"{_XTEXT}+"),  # RFC 4954 §5
    "RET": re.compile(r"(?i:FULL|HDRS)"),  # RFC 3461 §4.3
    "ENVID": re.compile(rf"{_XTEXT}+"),  # RFC 3461 §4.4
}
_NOTIFY_WORD = "(?:SUCCESS|FAILURE|DELAY)"
_OF_RCPT = {
    "NOTIFY": re.compile(rf"(?i:NEVER|{_NOTIFY_WORD}(?:,{_NOTIFY_WORD})*+)"),  # RFC 3461 §4.1
    "ORCPT": re.compile(rf"[A-Za-z0-9!#$%&'*/?^_`{{|}}~-]+;{_XTEXT_UTF8}*+"),  # RFC 3461 §4.2
}
_BDAT = re.compile(rb"([0-9]{1,20})(?: +(LAST))? *", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class MailCommand:
    """The argument of MAIL."""

    sender: Address | None  # None is the null sender <>
    size: int | None = None  # octets, as declared (RFC 1870); None where it was not
    body_8bitmime: bool = False  # RFC 6152
    smtputf8: bool = False  # RFC 6531 §3.4


@dataclass(frozen=True, slots=True)
class RcptCommand:
    """The argument of RCPT."""

    recipient: Address | None  # None is <postmaster>, without a domain (RFC 5321 §4.5.1)


def hello(argument: bytes) -> str | Reply:
    """Parse the argument of EHLO or HELO. Any text names a host, as so few clients know their name.

    What stands in logs and in Received must not pass for anything else: a name with a control character is refused.
    """
    if not argument:
        return replies.NEEDS_HOSTNAME
    name = argument.decode("utf-8", "replace")
    return replies.BAD_HOSTNAME if _CONTROL.search(name) else name


@lru_cache(maxsize=1024)  # the same senders and recipients come again and again
def mail(argument: bytes, *, extended: bool = True) -> MailCommand | Reply:
    """Parse the argument of MAIL. Without `extended` (HELO was used, not EHLO) it has no parameters."""
    try:
        path, parameters = _split(_MAIL, argument)
        sender = Address.parse(path) if path else None
    except ValueError:
        return replies.BAD_SENDER
    if not parameters:
        return MailCommand(sender)
    if not extended:
        return replies.UNKNOWN_PARAMETER
    values = _values(_SPACES.split(parameters), _OF_MAIL)
    if isinstance(values, Reply):
        return values
    return MailCommand(
        sender,
        size=int(values["SIZE"]) if "SIZE" in values else None,
        body_8bitmime=values.get("BODY", "").upper() == "8BITMIME",
        smtputf8="SMTPUTF8" in values,
    )


@lru_cache(maxsize=1024)
def rcpt(argument: bytes, *, extended: bool = True) -> RcptCommand | Reply:
    """Parse the argument of RCPT. Without `extended` (HELO was used, not EHLO) it has no parameters."""
    try:
        path, parameters = _split(_RCPT, argument)
        recipient = None if path.lower() == "postmaster" else Address.parse(path)
    except ValueError:
        return replies.BAD_RECIPIENT
    if not parameters:
        return RcptCommand(recipient)
    if not extended:
        return replies.UNKNOWN_PARAMETER
    values = _values(_SPACES.split(parameters), _OF_RCPT)
    return values if isinstance(values, Reply) else RcptCommand(recipient)


def bdat(argument: bytes) -> tuple[int | None, bool]:
    """Parse the argument of BDAT: octets of the chunk, None where that is no number, and whether it is the last."""
    match = _BDAT.fullmatch(argument)
    return (int(match[1]), match[2] is not None) if match else (None, False)


def _split(command: re.Pattern[str], argument: bytes) -> tuple[str, str]:
    """Split an argument into path and parameters. ValueError where it is not UTF-8 or has no path."""
    match = command.fullmatch(argument.decode())
    if match is None:
        raise ValueError("no path")
    in_brackets, bare, parameters = match.groups()
    return in_brackets if bare is None else bare, parameters.strip(" \t")


def _values(words: list[str], known: Mapping[str, re.Pattern[str]]) -> dict[str, str] | Reply:
    """Parse parameters, each of which may be given once; return their values by keyword, "" for those without one."""
    values: dict[str, str] = {}
    for word in words:
        match = _PARAMETER.fullmatch(word)
        if match is None:
            return replies.BAD_PARAMETER
        keyword, value = match[1].upper(), match[2] or ""
        form = known.get(keyword)
        if form is None:
            return replies.UNKNOWN_PARAMETER
        if keyword in values or not form.fullmatch(value):
            return replies.BAD_PARAMETER
        values[keyword] = value
    return values
