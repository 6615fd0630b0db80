"""Password hashes: argon2id, bcrypt, and no others. The only door to the libraries that compute them.

A password is compared in Unicode's NFC: keyboards and phones differ in how they compose an accent.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import string
import unicodedata
from typing import NamedTuple

import bcrypt
from argon2 import Type
from argon2.exceptions import VerificationError, VerifyMismatchError
from argon2.low_level import hash_secret, verify_secret

MAX_ARGON2_MEMORY_KIB = 64 * 1024  # two are checked at once, in a pod that may have 512 MiB for all
MAX_ARGON2_PASSES = 10  # some 0.5 s at 64 MiB
MAX_ARGON2_LANES = 16
MAX_BCRYPT_COST = 14  # some 1.2 s

MAX_PASSWORD_BYTES = 1024
MAX_BCRYPT_PASSWORD_BYTES = 72  # bcrypt sees no more: two passwords that begin alike would be one

# What hash-password writes: OWASP's first choice for argon2id, 30 ms here.
MEMORY_KIB, PASSES, LANES, SALT_BYTES, DIGEST_BYTES = 19 * 1024, 2, 1, 16, 32

# How many KiB argon2 writes in the time of one unit of bcrypt's 2^cost: 0.75 µs and 72 µs as measured. It only decides
# which hash of a file is the slowest, where both kinds are in it; such a file is warned of.
_KIB_A_BCRYPT_UNIT = 100

_ARGON2 = re.compile(
    r"\$argon2id\$v=19\$m=(?P<memory>[1-9]\d{0,8}),t=(?P<passes>[1-9]\d{0,8}),p=(?P<lanes>[1-9]\d{0,8})"
    r"\$(?P<salt>[A-Za-z0-9+/]{11,86})\$(?P<digest>[A-Za-z0-9+/]{22,86})",
    re.ASCII,
)
# The salt's last letter carries two bits, and the library takes only these spellings of them.
_BCRYPT = re.compile(r"\$2[aby]\$(?P<cost>\d\d)\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}", re.ASCII)
_BCRYPT_LETTERS = "./" + string.ascii_letters + string.digits
_BCRYPT_DIGEST_LETTERS = 31
_REFUSED_KINDS = {
    "$apr1$": "MD5",
    "$1$": "MD5",
    "{SHA}": "SHA-1",
    "$5$": "SHA-256",
    "$6$": "SHA-512",
    "$y$": "yescrypt",
    "$argon2i$": "argon2i",
    "$argon2d$": "argon2d",
}


class Cost(NamedTuple):
    """How long a check takes. Hashes of equal cost take the same time."""

    kib: int  # KiB that argon2 writes in that time
    parameters: str


def hash_password(password: str) -> str:
    """Return an argon2id hash for an htpasswd file. Blocks for some 30 ms. Raises ValueError."""
    octets = nfc(password).encode()
    if not octets:
        raise ValueError("the password is empty")
    if len(octets) > MAX_PASSWORD_BYTES:
        raise ValueError(f"the password is over {MAX_PASSWORD_BYTES} octets")
    if b"\0" in octets:
        raise ValueError("the password has a NUL in it, which AUTH cannot carry (RFC 4616 §2)")
    salt = secrets.token_bytes(SALT_BYTES)
    return hash_secret(octets, salt, PASSES, MEMORY_KIB, LANES, DIGEST_BYTES, Type.ID).decode()


def cost_of(password_hash: str) -> Cost:
    """Return what a check of this hash takes. Raises ValueError where that is too much, or it is no hash of ours.

    The error says what is wrong and quotes nothing of the text, which may be a password put in the hash's place.
    """
    if argon2 := _ARGON2.fullmatch(password_hash):
        return _argon2_cost(argon2)
    if bcrypt_hash := _BCRYPT.fullmatch(password_hash):
        cost = int(bcrypt_hash["cost"])
        if not 4 <= cost <= MAX_BCRYPT_COST:
            raise ValueError(f"the cost of bcrypt must be between 4 and {MAX_BCRYPT_COST}")
        return Cost(2**cost * _KIB_A_BCRYPT_UNIT, f"bcrypt {cost}")
    for prefix, kind in _REFUSED_KINDS.items():
        if password_hash.startswith(prefix):
            raise ValueError(f"the hash is {kind}: must be argon2id or bcrypt")
    if password_hash.startswith(("$argon2id$", "$2")):
        raise ValueError("the hash is damaged")
    raise ValueError("no hash of argon2id or bcrypt")


def _argon2_cost(found: re.Match[str]) -> Cost:
    memory, passes, lanes = int(found["memory"]), int(found["passes"]), int(found["lanes"])
    if memory > MAX_ARGON2_MEMORY_KIB:
        raise ValueError(f"the memory of argon2id (m=) must be at most {MAX_ARGON2_MEMORY_KIB} KiB")
    if passes > MAX_ARGON2_PASSES:
        raise ValueError(f"the passes of argon2id (t=) must be at most {MAX_ARGON2_PASSES}")
    if lanes > MAX_ARGON2_LANES:
        raise ValueError(f"the lanes of argon2id (p=) must be at most {MAX_ARGON2_LANES}")
    if memory < 8 * lanes:
        raise ValueError("the memory of argon2id (m=) must be at least 8 KiB a lane (RFC 9106 §3.1)")
    for part in ("salt", "digest"):
        if _unpadded(_octets(found[part])) != found[part]:
            raise ValueError("the hash is damaged")
    return Cost(memory * passes, f"argon2id m={memory},t={passes},p={lanes}")


def decoy_like(password_hash: str) -> str:
    """Return a hash of the same cost that no known password matches."""
    if found := _ARGON2.fullmatch(password_hash):
        digest = secrets.token_bytes(len(_octets(found["digest"])))
        return password_hash[: found.start("digest")] + _unpadded(digest)
    digest_letters = (secrets.choice(_BCRYPT_LETTERS) for _ in range(_BCRYPT_DIGEST_LETTERS))
    return password_hash[:-_BCRYPT_DIGEST_LETTERS] + "".join(digest_letters)


def matches(password_hash: str, password: bytes) -> bool:
    """Return whether this is the hash of the password. One that is too long takes the same time. Blocks.

    Raises MemoryError.
    """
    usable = 0 < len(password) <= MAX_PASSWORD_BYTES
    password = _nfc_octets(password[:MAX_PASSWORD_BYTES])
    if password_hash.startswith("$2"):
        usable = usable and len(password) <= MAX_BCRYPT_PASSWORD_BYTES
        return bcrypt.checkpw(password[:MAX_BCRYPT_PASSWORD_BYTES], password_hash.encode()) and usable
    try:
        return verify_secret(password_hash.encode(), password, Type.ID) and usable
    except VerifyMismatchError:
        return False
    except VerificationError as error:  # the parameters were checked before: memory was lacking
        raise MemoryError(str(error)) from error


def nfc(text: str) -> str:
    """Return the form in which names and passwords are compared."""
    return unicodedata.normalize("NFC", text)


def _nfc_octets(password: bytes) -> bytes:
    try:
        return nfc(password.decode()).encode()
    except UnicodeDecodeError:  # not text: taken as it is
        return password


def _octets(unpadded: str) -> bytes:
    """Decode base64 as argon2 writes it, without `=`."""
    try:
        return base64.b64decode(unpadded + "=" * (-len(unpadded) % 4), validate=True)
    except binascii.Error:
        return b""


def _unpadded(octets: bytes) -> str:
    return base64.b64encode(octets).decode().rstrip("=")
