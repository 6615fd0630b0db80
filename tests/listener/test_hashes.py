"""Only argon2id and bcrypt are taken, within bounds, and every check takes as long as its hash says."""

from __future__ import annotations

import bcrypt
import pytest
from argon2 import Type
from argon2.low_level import hash_secret

from mailport.listener.hashes import (
    MAX_PASSWORD_BYTES,
    cost_of,
    decoy_like,
    hash_password,
    matches,
)
from tests.tables import table

SALT, DIGEST = "c2FsdHNhbHRzYWx0c2FsdA", "A" * 43
BCRYPT_REST = "a" * 21 + "e" + "a" * 31


def argon2(password: bytes, memory: int = 64, passes: int = 1, lanes: int = 1) -> str:
    return hash_secret(password, b"salt" * 4, passes, memory, lanes, 32, Type.ID).decode()


def bcrypt_of(password: bytes, cost: int = 4, prefix: bytes = b"2b") -> str:
    return bcrypt.hashpw(password, bcrypt.gensalt(cost)).replace(b"$2b$", b"$" + prefix + b"$").decode()


@pytest.mark.parametrize(
    "password_hash",
    table(
        {
            "argon2id": argon2(b"right"),
            "argon2id of four lanes": argon2(b"right", lanes=4),
            "bcrypt as the library writes it": bcrypt_of(b"right"),
            "bcrypt as Apache's htpasswd writes it": bcrypt_of(b"right", prefix=b"2y"),
            "bcrypt of old": bcrypt_of(b"right", prefix=b"2a"),
        }
    ),
)
def test_the_right_password_matches_and_no_other(password_hash: str) -> None:
    """Every kind that is taken is checked."""
    cost_of(password_hash)

    assert matches(password_hash, b"right")
    assert not matches(password_hash, b"wrong")
    assert not matches(password_hash, b"Right")
    assert not matches(password_hash, b"right ")
    assert not matches(password_hash, b"")


def test_hash_password_writes_what_the_readme_says() -> None:
    """argon2id, 19 MiB, two passes, one lane; another salt each time."""
    first, second = hash_password("right"), hash_password("right")

    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert first != second
    assert matches(first, b"right")
    assert cost_of(first) == (38912, "argon2id m=19456,t=2,p=1")


@pytest.mark.parametrize(
    "password, why",
    table({"empty": ("", "empty"), "too long": ("x" * 1025, "over 1024 octets"), "a NUL": ("a\0b", "NUL")}),
)
def test_a_password_that_cannot_be_used_is_not_hashed(password: str, why: str) -> None:
    """Nobody could log in with it."""
    with pytest.raises(ValueError, match=why):
        hash_password(password)


def test_an_accent_is_the_same_however_it_is_composed() -> None:
    """Passwords are compared in NFC, whichever form was hashed or typed."""
    composed, decomposed = "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe\N{COMBINING ACUTE ACCENT}"

    assert matches(hash_password(decomposed), composed.encode())
    assert matches(hash_password(composed), decomposed.encode())


def test_a_password_need_not_be_text() -> None:
    """What is not UTF-8 is compared as it is."""
    assert matches(bcrypt_of(b"\xff\xfe"), b"\xff\xfe")
    assert not matches(bcrypt_of(b"\xff\xfe"), b"\xff\xff")


def test_bcrypt_does_not_take_a_password_that_it_would_cut() -> None:
    """With 72 octets all of it counts; with more it is refused, also where the first 72 are right."""
    password_hash = bcrypt_of(b"x" * 72)

    assert matches(password_hash, b"x" * 72)
    assert not matches(password_hash, b"x" * 73)


def test_an_endless_password_is_refused() -> None:
    """1 KiB is the longest, as for hash-password."""
    longest = b"x" * MAX_PASSWORD_BYTES

    assert matches(argon2(longest), longest)
    assert not matches(argon2(longest + b"x"), longest + b"x")
    assert not matches(argon2(longest), longest + b"x")


@pytest.mark.parametrize(
    "password_hash, why",
    table(
        {
            "plain text": ("hunter2", "no hash of argon2id or bcrypt"),
            "nothing": ("", "no hash of argon2id or bcrypt"),
            "crypt": ("rqXexS6ZhobKA", "no hash of argon2id or bcrypt"),
            "Apache's MD5": ("$apr1$xxx$yyy", "MD5"),
            "MD5": ("$1$xxx$yyy", "MD5"),
            "SHA-1": ("{SHA}xxx", "SHA-1"),
            "SHA-256": ("$5$xxx$yyy", "SHA-256"),
            "SHA-512": ("$6$xxx$yyy", "SHA-512"),
            "yescrypt, Debian's own": ("$y$j9T$xxx$yyy", "yescrypt"),
            "argon2i": (f"$argon2i$v=19$m=64,t=1,p=1${SALT}${DIGEST}", "argon2i"),
            "argon2d": (f"$argon2d$v=19$m=64,t=1,p=1${SALT}${DIGEST}", "argon2d"),
            "argon2id, cut": (f"$argon2id$v=19$m=64,t=1,p=1${SALT}$", "damaged"),
            "argon2id of an old version": (f"$argon2id$v=16$m=64,t=1,p=1${SALT}${DIGEST}", "damaged"),
            "argon2id, salt too short": (f"$argon2id$v=19$m=64,t=1,p=1$AAAA${DIGEST}", "damaged"),
            "argon2id, digest too short to prove anything": (f"$argon2id$v=19$m=64,t=1,p=1${SALT}$AAAA", "damaged"),
            "argon2id, not base64": (f"$argon2id$v=19$m=64,t=1,p=1${SALT}${'A' * 42}B", "damaged"),
            "argon2id, not the length of base64": (f"$argon2id$v=19$m=64,t=1,p=1${SALT}${'A' * 41}", "damaged"),
            "argon2id, more behind it": (f"$argon2id$v=19$m=64,t=1,p=1${SALT}${DIGEST}:100", "damaged"),
            "argon2id over 64 MiB": (f"$argon2id$v=19$m=65537,t=1,p=1${SALT}${DIGEST}", "at most 65536"),
            "argon2id of 128 passes": (f"$argon2id$v=19$m=64,t=128,p=1${SALT}${DIGEST}", "at most 10"),
            "argon2id of 64 lanes": (f"$argon2id$v=19$m=65536,t=1,p=64${SALT}${DIGEST}", "at most 16"),
            "argon2id of too little memory": (f"$argon2id$v=19$m=31,t=1,p=4${SALT}${DIGEST}", "at least 8 KiB a lane"),
            "argon2id, no passes": (f"$argon2id$v=19$m=64,t=0,p=1${SALT}${DIGEST}", "damaged"),
            "bcrypt, cut": ("$2b$10$" + "a" * 52, "damaged"),
            "bcrypt, a salt that the library refuses": ("$2b$10$" + "a" * 53, "damaged"),
            "bcrypt with the bug of 2011": ("$2x$10$" + BCRYPT_REST, "damaged"),
            "bcrypt of cost 15": ("$2b$15$" + BCRYPT_REST, "must be between 4 and 14"),
            "bcrypt of cost 3": ("$2b$03$" + BCRYPT_REST, "must be between 4 and 14"),
            "digits that are none in ASCII": (f"$argon2id$v=19$m=٦٤,t=1,p=1${SALT}${DIGEST}", "damaged"),
        }
    ),
)
def test_other_hashes_are_refused_by_their_kind(password_hash: str, why: str) -> None:
    """The message says what is wrong, and shows nothing of the hash."""
    with pytest.raises(ValueError, match=why) as raised:
        cost_of(password_hash)
    assert not password_hash or password_hash not in str(raised.value)
    assert SALT not in str(raised.value)


@pytest.mark.parametrize(
    "dearer, cheaper",
    table(
        {
            "more memory": (argon2(b"", memory=128), argon2(b"", memory=64)),
            "more passes": (argon2(b"", passes=2), argon2(b"", passes=1)),
            "more rounds": ("$2b$12$" + BCRYPT_REST, "$2b$10$" + BCRYPT_REST),
            "bcrypt 10, 73 ms, above ours, 29 ms": (
                "$2b$10$" + BCRYPT_REST,
                f"$argon2id$v=19$m=19456,t=2,p=1${SALT}${DIGEST}",
            ),
            "argon2id of 64 MiB and 3 passes, 186 ms, above bcrypt 10": (
                f"$argon2id$v=19$m=65536,t=3,p=4${SALT}${DIGEST}",
                "$2b$10$" + BCRYPT_REST,
            ),
        }
    ),
)
def test_costs_are_ordered_as_the_clock_orders_them(dearer: str, cheaper: str) -> None:
    """Also between the kinds, roughly."""
    assert cost_of(dearer) > cost_of(cheaper)


@pytest.mark.parametrize(
    "password_hash", table({"argon2id": argon2(b"right", memory=128, lanes=2), "bcrypt": bcrypt_of(b"right")})
)
def test_a_decoy_costs_the_same_and_matches_nothing(password_hash: str) -> None:
    """Nor does checking against one ever fail, whatever letters chance gave it."""
    for _ in range(100):
        decoy = decoy_like(password_hash)

        assert cost_of(decoy) == cost_of(password_hash)
        assert not matches(decoy, b"right")
    assert decoy_like(password_hash) != decoy
