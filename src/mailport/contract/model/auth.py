"""PURE. spec.auth: the users."""

from __future__ import annotations

from enum import StrEnum

from mailport.contract.formats import (
    DataKey,
)
from mailport.contract.model.base import Model
from mailport.contract.model.references import SecretRef


class HtpasswdKeyRef(SecretRef):
    """The key of a Secret that holds users."""

    key: DataKey = "htpasswd"
    """Key within the Secret."""


class Htpasswd(Model):
    """Users from a file of `user:hash` lines, the hash argon2id or bcrypt (`mailport hash-password` makes one)."""

    secret_ref: HtpasswdKeyRef
    """Where the lines are."""


class SenderMatch(StrEnum):
    """Whether MAIL FROM must be the user's own."""

    ANY = "Any"
    USER = "User"


class Auth(Model):
    """The users who can log in, by AUTH PLAIN and LOGIN."""

    htpasswd: Htpasswd
    """The file of users."""

    sender_match: SenderMatch = SenderMatch.ANY
    """`User`: MAIL FROM must be the user's own name, or `<>`; needs user names that are addresses. `Any`: it is not
    compared, which programs that send for several addresses need."""
