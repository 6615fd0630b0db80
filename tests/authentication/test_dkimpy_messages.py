"""The test messages of dkimpy's source distribution: we say of each signature what dkimpy says."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

import dkim as dkimpy
import pytest

from mailport.authentication.result import Result
from tests.authentication.signing import verify
from tests.authentication.test_dkim import RFC8463_KEYS
from tests.authentication.zones import published, suites

NAME = f"dkimpy-{version('dkimpy')}.tar.gz"
# From dkimpy's tests: which keys its messages are signed with
KEYS = {
    **RFC8463_KEYS,
    "sed._domainkey.test.ex": [("TXT", "v=DKIM1; k=ed25519; p=sPs07Vu29FpHT/80UXUcYHFOHifD4o2ZlP2+XUh9g6E=")],
}


@pytest.fixture(scope="module")
def messages() -> dict[str, bytes]:
    """The messages of the distribution: from the suites' folders, else fetched once into the last of them."""
    archive, cache = published(NAME), suites()[-1]
    if archive is None:
        wanted = ["--no-deps", "--no-binary=:all:", "--quiet", f"--dest={cache}", f"dkimpy=={version('dkimpy')}"]
        subprocess.run([sys.executable, "-m", "pip", "download", *wanted], check=True, capture_output=True)
        archive = cache / NAME
    with tarfile.open(archive) as opened:
        return {
            Path(member.name).name: opened.extractfile(member).read().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            for member in opened.getmembers()
            if "/tests/data/" in member.name and member.name.endswith((".msg", ".message", ".mbox"))
        }


def by_dkimpy(message: bytes, number: int) -> bool:
    """Whether dkimpy verifies a signature."""
    records = {f"{name}.".encode(): values[0][1].encode() for name, values in KEYS.items()}
    try:
        return dkimpy.DKIM(message).verify(number, dnsfunc=lambda name, timeout=5: records.get(name))
    except dkimpy.DKIMException:
        return False
    except Exception as error:  # noqa: BLE001 - NaCl is not installed: Ed25519 is left to the RFC's example
        pytest.skip(str(error))


@pytest.mark.slow
def test_messages(messages):
    """Of every signature of every message; those of the RFC's message verify."""
    seen = 0
    for name, message in sorted(messages.items()):
        for number, found in enumerate(verify(message, KEYS)):
            seen += 1
            if found.algorithm == "rsa-sha256":
                assert (found.result is Result.PASS) is by_dkimpy(message, number), (name, number, found)

    assert seen >= 5
    assert [one.result for one in verify(messages["rfc6376.signed.msg"], KEYS)] == [Result.PASS, Result.PASS]
    assert [one.result for one in verify(messages["rfc6376.signed.rsa.msg"], KEYS)] == [Result.PASS]
