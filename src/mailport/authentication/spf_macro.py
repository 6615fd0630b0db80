"""PURE. The macros of SPF: `%{ir}.%{v}._spf.%{d2}` (RFC 7208 §7)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from mailport.address.ip_ranges import IpAddress
from mailport.authentication.dns import MAX_NAME

_EXPAND = r"%\{(?P<letter>[slodiphv])(?P<digits>0*[1-9][0-9]*)?(?P<reverse>r?)(?P<delimiters>[-.+,/_=]*)\}"
# %{c}, %{r} and %{t} stand in explanations only, which are not shown
_MACRO = re.compile(rf"{_EXPAND}|%(?P<escape>[%_-])", re.IGNORECASE)
_MACRO_STRING = re.compile(r"(?:%\{[slodiphv](?:0*[1-9][0-9]*)?r?[-.+,/_=]*\}|%[%_-]|[!-$&-~])*+", re.IGNORECASE)
_TOP_LABEL = re.compile(r"[A-Za-z0-9]*[A-Za-z][A-Za-z0-9]*|[A-Za-z0-9]+-[A-Za-z0-9-]*[A-Za-z0-9]")
_ESCAPES = {"%": "%", "_": " ", "-": "%20"}
_UNRESERVED = "-._~"


def is_macro_string(text: str) -> bool:
    """Whether a text is a macro-string (§7.1)."""
    return _MACRO_STRING.fullmatch(text) is not None


def is_domain_spec(text: str) -> bool:
    """Whether a text is a domain-spec: a macro-string that ends in a top-level label or in a macro (§7.1)."""
    if not is_macro_string(text):
        return False
    _, dot, last = text.removesuffix(".").rpartition(".")
    return _ends_in_macro(text) or (dot == "." and _TOP_LABEL.fullmatch(last) is not None)


def _ends_in_macro(text: str) -> bool:
    """Whether a macro is the last there is, from the left on: `%%{i}` is a percent sign, and text behind it."""
    return max((match.end() for match in _MACRO.finditer(text)), default=-1) == len(text)


def letters(text: str) -> frozenset[str]:
    """Return the letters of its macros, in lower case: %{p} asks the DNS, %{s} and %{l} hold the local part."""
    return frozenset(match["letter"].lower() for match in _MACRO.finditer(text) if match["letter"])


def expand(text: str, values: Mapping[str, str]) -> str:
    """Expand the macros of a macro-string that is one. `values` is by the letter, in lower case."""

    def value(match: re.Match[str]) -> str:
        if match["escape"] is not None:
            return _ESCAPES[match["escape"]]
        letter = match["letter"]
        parts = re.split(f"[{re.escape(match['delimiters'] or '.')}]", values[letter.lower()])
        if match["reverse"]:
            parts.reverse()
        if match["digits"]:
            parts = parts[-int(match["digits"].lstrip("0")[:4]) :]  # no name has 1,000 labels
        expanded = ".".join(parts)
        return quote(expanded, safe=_UNRESERVED) if letter.isupper() else expanded

    return _MACRO.sub(value, text)


def expand_domain(text: str, values: Mapping[str, str]) -> str:
    """Expand a domain-spec to a name without the root's dot; labels are cut off its left until it is short enough."""
    name = expand(text, values).removesuffix(".")
    if len(name) > MAX_NAME:
        name = name[-MAX_NAME - 1 :].partition(".")[2]
    return name.lower()


def dotted(address: IpAddress) -> str:
    """Write an address as %{i} does: IPv6 as nibbles, a dot between them (§7.3)."""
    return str(address) if address.version == 4 else ".".join(address.exploded.replace(":", ""))
