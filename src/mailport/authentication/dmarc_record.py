"""PURE. A DMARC record's text (RFC 9989 §4.7, §4.8)."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import NamedTuple

from mailport.authentication.kept import kept

_VERSION = re.compile(r"[vV][ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^ \t,!]+(?:![0-9]+[kmgt]?)?", re.IGNORECASE)
_MAX_TAGS = 100
_MAX_URIS = 20


class Policy(IntEnum):
    """What a domain wants done with what does not pass; a larger one is stricter."""

    NONE = 0
    QUARANTINE = 1
    REJECT = 2

    @property
    def word(self) -> str:
        """The word for it in records and in Authentication-Results."""
        return self.name.lower()


class Record(NamedTuple):
    """A DMARC record; what is not in it, or faulty, has its default."""

    policy: Policy  # p=
    subdomains: Policy  # sp=
    nonexistent: Policy  # np=
    strict_dkim: bool  # adkim=s
    strict_spf: bool  # aspf=s
    psd: str  # y, n or u
    testing: bool  # t=y
    usable: bool  # False: p=, sp= or np= is faulty, and nobody could be told (§4.10.1). No DMARC for this message


def only(texts: tuple[bytes, ...]) -> Record | None:
    """Return the one record among TXT records; of several none counts (§4.10, steps 2 and 6)."""
    found = [text for text in (text.decode("utf-8", "replace") for text in texts) if _VERSION.match(text)]
    return parse(found[0]) if len(found) == 1 else None


@kept(1024)  # the same records come again
def parse(text: str) -> Record:
    """Read a record that begins with its version. Faults are passed over (§4.7)."""
    values: dict[str, str] = {}
    for part in text.split(";", _MAX_TAGS)[1:_MAX_TAGS]:
        name, equals, value = part.partition("=")
        if equals:
            values.setdefault(name.strip(" \t").lower(), value.strip(" \t").lower())
    policy = _policy(values.get("p"))
    wanted = {name: _policy(values[name]) for name in ("sp", "np") if name in values}
    if policy is None or None in wanted.values():
        reported = any(
            _URI.fullmatch(uri.strip(" \t")) for uri in values.get("rua", "").split(",", _MAX_URIS)[:_MAX_URIS]
        )
        policy, wanted = Policy.NONE, {}
        usable = reported
    else:
        usable = True
    subdomains = wanted.get("sp")
    subdomains = policy if subdomains is None else subdomains
    nonexistent = wanted.get("np")
    return Record(
        policy=policy,
        subdomains=subdomains,
        nonexistent=subdomains if nonexistent is None else nonexistent,
        strict_dkim=values.get("adkim") == "s",
        strict_spf=values.get("aspf") == "s",
        psd=values["psd"] if values.get("psd") in ("y", "n") else "u",
        testing=values.get("t") == "y",
        usable=usable,
    )


def _policy(word: str | None) -> Policy | None:
    return Policy[word.upper()] if word in ("none", "quarantine", "reject") else None
