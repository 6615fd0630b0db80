"""`mailport hash-password` takes a password from a terminal or from stdin, and prints its hash."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from mailport.listener.credentials import Users
from tests.tables import table

COMMAND = [sys.executable, "-c", "import sys; from mailport.commands.hash_password import run; sys.exit(run())"]


def from_stdin(password: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(COMMAND, input=password, capture_output=True, check=False)


@pytest.mark.parametrize(
    "typed, password",
    table(
        {
            "a line": (b"right\n", b"right"),
            "without a line end": (b"right", b"right"),
            "from Windows": (b"right\r\n", b"right"),
            "spaces count": (b" right \n", b" right "),
            "only the first line counts": (b"right\nwrong\n", b"right"),
            "letters beyond ASCII": ("rïght\n".encode(), "rïght".encode()),
        }
    ),
)
def test_a_password_from_stdin(typed: bytes, password: bytes) -> None:
    """What is printed can stand behind `user:`."""
    ended = from_stdin(typed)

    assert (ended.returncode, ended.stderr) == (0, b"")
    assert Users.parse(b"anna:" + ended.stdout).verify("anna", password)


@pytest.mark.parametrize(
    "typed, why",
    table(
        {
            "nothing": (b"", b"the password is empty"),
            "an empty line": (b"\n", b"the password is empty"),
            "no text": (b"\xff\n", b"the password is not UTF-8"),
            "more than AUTH takes": (b"x" * 2000, b"the password is over 1024 octets"),
        }
    ),
)
def test_a_password_that_is_none(typed: bytes, why: bytes) -> None:
    """Exit 2, and one line."""
    ended = from_stdin(typed)

    assert (ended.returncode, ended.stdout) == (2, b"")
    assert ended.stderr == b"mailport hash-password: %b\n" % why


@pytest.mark.parametrize(
    "again, status",
    table({"the same twice": (b"right", 0), "a typing error": (b"rihgt", 2)}),
)
def test_a_password_from_the_terminal(again: bytes, status: int) -> None:
    """It is asked for twice, and never shown."""
    terminal, theirs = pty.openpty()
    command = subprocess.Popen(COMMAND, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    shown = b""

    def read_until(prompt: bytes) -> None:
        nonlocal shown
        while prompt not in shown:
            shown += os.read(terminal, 1024)

    with command:
        read_until(b"Password: ")
        os.write(terminal, b"right\n")
        read_until(b"Again: ")
        os.write(terminal, again + b"\n")
        read_until(b"$argon2id$" if status == 0 else b"the two are not the same")
        command.wait(10)
    os.close(terminal)

    assert command.returncode == status
    assert again not in shown.replace(b"Password", b"")
