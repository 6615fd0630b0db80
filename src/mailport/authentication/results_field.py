"""PURE. What was found, as text: the Authentication-Results field (RFC 8601).

Words that come from outside are written bare only where the grammar allows it, else in quotes; never as a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from mailport.address.ip_ranges import IpAddress
from mailport.authentication.arc import ArcResult
from mailport.authentication.dkim import DkimResult
from mailport.authentication.dmarc import DmarcResult
from mailport.authentication.iprev import IprevResult
from mailport.authentication.result import Result
from mailport.authentication.spf import Identity, SpfResult

_TOKEN = re.compile(r"[!#$%&'*+.0-9A-Z^_`a-z{|}~-]+")  # RFC 2045 §5.1
_ATOMS = r"[!#$%&'*+/=?^_`{|}~0-9A-Za-z-]+(?:\.[!#$%&'*+/=?^_`{|}~0-9A-Za-z-]+)*"
_ADDRESS = re.compile(rf"(?:{_ATOMS})?@[0-9A-Za-z_](?:[0-9A-Za-z_.-]*[0-9A-Za-z_])?")
_TO_ESCAPE = re.compile(r'(["\\])')
_MAX_VALUE = 320  # characters: more than any address or domain name has


@dataclass(frozen=True)
class Authentication:
    """All that was found about who sent a message; None where it was not looked for."""

    client: IpAddress
    iprev: IprevResult | None = None
    spf: SpfResult | None = None
    dkim: tuple[DkimResult, ...] | None = None  # empty: no signature
    dmarc: DmarcResult | None = None
    arc: ArcResult | None = None

    @property
    def why(self) -> str:
        """What is behind the results that a message may be refused for, in words for the log."""
        said = [("dmarc", self.dmarc.why) if self.dmarc else None, ("spf", self.spf.why) if self.spf else None]
        return "; ".join(f"{name}: {why}" for name, why in filter(None, said))

    @cached_property
    def results(self) -> tuple[tuple[str, Result, tuple[tuple[str, str], ...]], ...]:
        """Each method's name, result and properties (RFC 8601 §2.7, RFC 6008, RFC 8617 §4.1.1)."""
        return tuple(_results(self))

    @cached_property
    def written(self) -> tuple[str, ...]:
        """Each result with its properties, as Authentication-Results has them; for the log too."""
        return tuple(
            " ".join([f"{method}={result}", *[f"{name}={value(text)}" for name, text in properties if text]])
            for method, result, properties in self.results
        )


def field(authserv_id: str, found: Authentication) -> bytes:
    """Write the field, a line for each result. `authserv_id` is the host name that answers for it."""
    text = ";\r\n\t".join([f"Authentication-Results: {authserv_id}", *(found.written or ["none"])])
    return f"{text}\r\n".encode()


def _results(found: Authentication) -> Iterator[tuple[str, Result, tuple[tuple[str, str], ...]]]:
    if found.iprev is not None:
        yield "iprev", found.iprev.result, (("policy.iprev", str(found.client)),)
    if found.spf is not None:
        of_helo = found.spf.identity is Identity.HELO
        identity = ("smtp.helo", found.spf.domain) if of_helo else ("smtp.mailfrom", found.spf.sender)
        yield "spf", found.spf.result, (identity,)
    if found.dkim is not None:
        for one in found.dkim:
            names = (("header.d", one.domain), ("header.s", one.selector), ("header.a", one.algorithm))
            yield "dkim", one.result, (*names, ("header.b", one.signature))
        if not found.dkim:
            yield "dkim", Result.NONE, ()
    if found.dmarc is not None:
        policy = found.dmarc.policy.word if found.dmarc.policy_domain else ""
        yield "dmarc", found.dmarc.result, (("header.from", found.dmarc.domain), ("policy.dmarc", policy))
    if found.arc is not None:
        yield "arc", found.arc.result, (("header.d", found.arc.domain),)


def value(text: str) -> str:
    """Write a property's value (RFC 8601 §2.2, pvalue): a token, an address, or a quoted string."""
    return _value(text[:_MAX_VALUE])


@lru_cache(maxsize=4096)  # the same domains and clients come again
def _value(text: str) -> str:
    printable = text if text.isprintable() else "".join(filter(str.isprintable, text))
    if _TOKEN.fullmatch(printable) or _ADDRESS.fullmatch(printable):
        return printable
    return '"' + _TO_ESCAPE.sub(r"\\\1", printable) + '"'
