"""`mailport hash-password`: a password in, a line for an htpasswd file out."""

from __future__ import annotations

import argparse
import sys
from getpass import getpass

from mailport.commands.options import Commands, add_command
from mailport.listener.hashes import MAX_PASSWORD_BYTES, hash_password


def add(commands: Commands) -> None:
    """Describe the command and its options."""
    parser = add_command(
        commands,
        "hash-password",
        "read a password from the terminal or stdin and print its argon2id hash for an htpasswd file",
        "hash=$(mailport hash-password) && printf 'anna@example.org:%s\\n' \"$hash\" >> htpasswd",
    )
    parser.set_defaults(run=run)


def run(_: argparse.Namespace | None = None) -> int:
    """Read a password, twice from a terminal, else one line of stdin; print its hash. Return 0, or 2 for a bad one."""
    try:
        password = _from_terminal() if sys.stdin.isatty() else _from_stdin()
        sys.stdout.write(hash_password(password) + "\n")
    except ValueError as error:
        sys.stderr.write(f"mailport hash-password: {error}\n")
        return 2
    return 0


def _from_terminal() -> str:
    password = getpass("Password: ")
    if getpass("Again: ") != password:
        raise ValueError("the two are not the same")
    return password


def _from_stdin() -> str:
    line = sys.stdin.buffer.readline(MAX_PASSWORD_BYTES + 3)  # CRLF, and one that is too many
    try:
        return line.removesuffix(b"\n").removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        raise ValueError("the password is not UTF-8") from None
