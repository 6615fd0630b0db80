"""A large message for the mailboxes of two routes: it lies on scratch, and each destination reads it for itself."""

from __future__ import annotations

import smtplib
from contextlib import suppress
from pathlib import Path

import pytest

from tests.serving import PASSWORD, USER, Serving, eventually, serving

pytestmark = pytest.mark.slow

LARGE = b"Subject: large\r\n\r\n" + b"".join(b"%07d%s\r\n" % (line, b"x" * 71) for line in range(60_000))  # 4.8 MB
TO = ("anna@example.org", "bert@example.net")
SPEC = {
    "routes": [
        {"name": "org", "recipients": ["*@example.org"], "deliver": {"maildir": {}}},
        {"name": "net", "recipients": ["*@example.net"], "deliver": {"maildir": {}}},
    ],
    "auth": {"htpasswd": {"secretRef": {"name": "users"}}},
    "listeners": [{"name": "smtp", "auth": {"mode": "Always"}}],
}


def send(server: Serving) -> tuple[int, bytes]:
    with smtplib.SMTP("127.0.0.1", server.port, timeout=60) as client:
        client.login(USER, PASSWORD)
        client.mail(USER)
        for recipient in TO:
            assert client.rcpt(recipient)[0] == 250
        return client.data(LARGE)


def content(message: bytes) -> bytes:
    return message[message.index(b"Subject: ") :].replace(b"\n", b"\r\n")


def scratch_files(server: Serving) -> int:
    """Count the unlinked files that the process holds."""
    found = 0
    for link in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found += str(link.readlink()).endswith("(deleted)")
    return found


def test_both_have_it_whole(tmp_path: Path):
    """And nothing of it is left on scratch."""
    with serving(tmp_path, SPEC) as server:
        assert send(server)[0] == 250

        assert [[content(message) for message in server.messages(one)] for one in TO] == [[LARGE], [LARGE]]
        eventually(lambda: scratch_files(server) == 0, "nothing on scratch")  # a thread closes the file


def test_the_second_fails_and_it_comes_again(tmp_path: Path):
    """451: the first one has it, and has it once when it comes again; the second gets it then, whole."""
    with serving(tmp_path, SPEC) as server:
        in_the_way = server.mail / "example.net"
        in_the_way.parent.mkdir(parents=True)
        in_the_way.symlink_to(in_the_way)  # ELOOP, for root too
        code, text = send(server)
        eventually(lambda: scratch_files(server) == 0, "nothing on scratch")
        in_the_way.unlink()

        assert (code, text[:5]) == (451, b"4.3.0")
        assert send(server)[0] == 250
        assert [[content(message) for message in server.messages(one)] for one in TO] == [[LARGE], [LARGE]]
