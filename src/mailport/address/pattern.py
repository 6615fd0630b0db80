"""PURE. The recipients of a route as its author writes them: `anna@example.org`, `*@example.org`, `a-*@*.example.org`.

`*` is the only special character. A pattern is split as an address is, at the last `@`: its local part speaks of the
unquoted local part, its domain of the A-labels. So a `*` stands for anything within its part, and never for that `@`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailport.address.mail_address import Address, domain_key, local_key, split

_GLOB_LABEL = re.compile(r"[A-Za-z0-9_*-]{1,63}")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A recipient pattern, both parts folded as `Address.local_key` and `Address.domain_key` are."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"

    @property
    def is_plain(self) -> bool:
        """Whether no part has a `*` among other characters: one mailbox, `*@domain`, `*@*`."""
        return ("*" not in self.domain and ("*" not in self.local or self.local == "*")) or str(self) == "*@*"

    @property
    def has_wildcard_domain(self) -> bool:
        """Whether domains that nobody wrote down match: an open relay, where mail is sent on for anyone."""
        return "*" in self.domain

    @property
    def expression(self) -> str:
        """What `Address.key` matches as a whole, for `re.fullmatch`."""
        return f"{_expression(self.local)}@{_expression(self.domain, star='[^@]')}"

    def matches(self, address: Address) -> bool:
        """Whether this takes the address. Routes ask `policy.recipients.Router` instead: it has one look for all."""
        return re.fullmatch(self.expression, address.key) is not None


def parse_pattern(text: str) -> Pattern:
    """Read a pattern; `*` alone is `*@*`. ValueError says what is wrong."""
    if text == "*":
        return Pattern("*", "*")
    local, domain = split(text)
    return Pattern(local_key(local), _glob_key(domain) if "*" in domain else domain_key(domain))


def _glob_key(domain: str) -> str:
    """Normalise a domain with wildcards, label by label."""
    if domain.startswith("["):
        raise ValueError(f"{domain!r}: an address literal is written without *")
    return ".".join(_glob_label(label) if "*" in label else domain_key(label) for label in domain.split("."))


def _glob_label(label: str) -> str:
    """Normalise a label with wildcards. Half a U-label has no A-label, so it has to be ASCII."""
    if not _GLOB_LABEL.fullmatch(label):
        raise ValueError(f"{label!r}: a label with * in it has only ASCII letters, digits, - and _")
    return label.lower()


def _expression(glob: str, star: str = ".") -> str:
    """Turn a glob into a regular expression whose matching takes a time that grows with the text, not its powers.

    Between two stars the leftmost match is as good as any, so it is never reconsidered: hence the atomic groups.
    """
    first, *rest = (re.escape(piece) for piece in glob.split("*"))
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(f"(?>{star}*?{piece})" for piece in middle if piece) + f"{star}*{last}"
