"""OpenDKIM signs, and we verify. It runs as the milter that it is; the test plays the mail server in front of it."""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mailport.authentication.result import Result
from tests.authentication import signing
from tests.authentication.signing import split, verify
from tests.ports import free_port

pytestmark = pytest.mark.slow

PROGRAM = shutil.which("opendkim") or "/usr/sbin/opendkim"
ZONE = signing.zone(s=signing.rsa_record(signing.rsa_key()))
MESSAGES = {
    "a short one": b"From: anna@example.org\r\nTo: b@example.net\r\nSubject: s\r\n\r\nhello\r\n",
    "folded fields, blanks and empty lines": (
        b"Received: from a\r\n\tby b;\r\n Sat, 28 Nov 2026\r\nFrom: Anna  <anna@example.org>\r\nSubject: a\r\n  b\r\n"
        b"Date: Sat, 28 Nov 2026 12:00:00 +0000\r\n\r\nA  line \t\r\n\r\n \r\n\r\nend \r\n\r\n\r\n"
    ),
    "a large body": b"From: anna@example.org\r\nSubject: s\r\n\r\n" + b"0123456789  \r\n" * 20_000,
    "no body": b"From: anna@example.org\r\nSubject: s\r\n\r\n",
    "octets beyond ASCII": "From: anna@example.org\r\nSubject: grüße\r\n\r\nüüü\r\n".encode(),
}
SETTINGS = """\
Mode s
Domain example.org
Selector s
KeyFile {key}
Canonicalization {form}
SignatureAlgorithm rsa-sha256
RequireSafeKeys no
Socket inet:{port}@127.0.0.1
Syslog no
"""


@contextmanager
def opendkim(folder: Path, form: str) -> Iterator[int]:
    """Run it; its port."""
    if not Path(PROGRAM).exists():
        pytest.skip("no opendkim: tools/setup.sh installs it")
    port, key = free_port(), folder / "key.pem"
    key.write_bytes(signing.pem(signing.rsa_key()))
    (folder / "opendkim.conf").write_text(SETTINGS.format(key=key, form=form, port=port))
    running = subprocess.Popen([PROGRAM, "-f", "-x", str(folder / "opendkim.conf")])
    try:
        deadline = time.monotonic() + 10
        while not listens(port):
            assert running.poll() is None, "opendkim has ended"
            assert time.monotonic() < deadline, "opendkim does not listen"
            time.sleep(0.05)
        yield port
    finally:
        running.terminate()
        running.wait(10)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Milter:
    """The mail server's side of the milter protocol, version 6: as much as signing needs."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10)

    def sign(self, message: bytes) -> bytes:
        """Let a message through; return it with the fields that were put on top of it."""
        section, body = split(message)
        self._say(b"O", struct.pack("!III", 6, 0x1FF, 0), b"O")
        self._say(b"C", b"localhost\x004" + struct.pack("!H", 50000) + b"127.0.0.1\x00")
        self._say(b"H", b"localhost\x00")
        self._say(b"M", b"<anna@example.org>\x00")
        self._say(b"R", b"<b@example.net>\x00")
        for line in section.replace(b"\r\n ", b"\n ").replace(b"\r\n\t", b"\n\t").split(b"\r\n")[:-1]:
            name, _, value = line.partition(b": ")
            self._say(b"L", name + b"\x00" + value + b"\x00")
        self._say(b"N")
        for at in range(0, len(body), 65535):
            self._say(b"B", body[at : at + 65535])
        added = b""
        self._send(b"E")
        while (answer := self._read())[:1] not in (b"a", b"c"):
            assert answer[:1] in (b"h", b"i"), answer
            name, value, _ = answer[5 if answer[:1] == b"i" else 1 :].split(b"\x00")
            added = name + b": " + value.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + b"\r\n" + added
        return added + message

    def close(self) -> None:
        self._send(b"Q")
        self._socket.close()

    def _say(self, command: bytes, data: bytes = b"", expected: bytes = b"c") -> None:
        self._send(command, data)
        assert (answer := self._read())[:1] == expected, (command, answer)

    def _send(self, command: bytes, data: bytes = b"") -> None:
        self._socket.sendall(struct.pack("!I", len(data) + 1) + command + data)

    def _read(self) -> bytes:
        (length,) = struct.unpack("!I", self._exactly(4))
        return self._exactly(length)

    def _exactly(self, octets: int) -> bytes:
        data = b""
        while len(data) < octets:
            data += (more := self._socket.recv(octets - len(data)))
            assert more, "opendkim has closed the connection"
        return data


@pytest.mark.parametrize("form", ["simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"])
def test_signed_by_opendkim(tmp_path, form):
    """Verifies in every form, whatever the message holds, and not once it is changed."""
    with opendkim(tmp_path, form) as port:
        for name, message in MESSAGES.items():
            milter = Milter(port)
            signed = milter.sign(message)
            milter.close()

            assert f"c={form}".encode() in signed, name
            assert [one.result for one in verify(signed, ZONE)] == [Result.PASS], name
            assert [one.result for one in verify(signed + b"more\r\n", ZONE)] == [Result.FAIL], name
            changed = signed.replace(b"@example.org\r\n", b"@example.com\r\n").replace(b"org>\r\n", b"com>\r\n")
            assert [one.result for one in verify(changed, ZONE)] == [Result.FAIL], name
