"""Options of all commands: what `--help` says of them together."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from mailport.__main__ import COMMANDS, _parser

# The value that each option has in the environment, where it is no plain text; it differs from what is the default
VALUES = {
    "ADMIN": "127.0.0.1:9",
    "ALLOW": "hostNetwork",
    "CLIENT": "192.0.2.1",
    "DENY_DESTINATIONS": "192.0.2.0/24",
    "LISTENER_FORMAT": "1",
    "MAILBOX_LIMIT": "7Mi",
    "OUTPUT": "json",
    "SCRATCH_LIMIT": "7Mi",
    "SECURITY_CONTEXT": "Platform",
    "SERVER": "mx.example.org:2",
    "SHUTDOWN_DELAY": "7",
    "TLS": "implicit",
}
NEEDED = {"serve": ["-f", "a"], "validate": ["-f", "a"], "render": ["-f", "a"], "send": ["--to", "a@example.org"]} | {
    "check": ["-f", "a", "--client", "192.0.2.7", "--sender", "a@example.org", "message"]
}


def options(parser: argparse.ArgumentParser) -> dict[str, tuple[argparse.ArgumentParser, list[argparse.Action]]]:
    """Return each command's parser, and its options but for --help."""
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return {
        name: (command, [one for one in command._actions if one.option_strings and one.dest != "help"])
        for name, command in commands.choices.items()
    }


EACH = [
    pytest.param(command, action.option_strings[-1], id=f"{command} {action.option_strings[-1]}")
    for command, (_, actions) in options(_parser()).items()
    for action in actions
    if (command, action.option_strings[-1]) != ("send", "--file")  # MAILPORT_FILE is the document of the others
]


@pytest.mark.parametrize("command, option", EACH)
def test_each_option_may_come_by_the_environment(command: str, option: str, tmp_path: Path, monkeypatch):
    """As the last line of each help has it. What the command line says wins."""
    name = option.removeprefix("--").upper().replace("-", "_")
    monkeypatch.chdir(tmp_path)
    (action,) = (one for one in options(_parser())[command][1] if one.option_strings[-1] == option)
    without = _without(NEEDED.get(command, []), action)
    before = vars(_parser().parse_args([command, *NEEDED.get(command, [])]))[action.dest]
    value = "1" if action.nargs == 0 else VALUES.get(name, "else")
    if option == "--defaults":
        (tmp_path / value).write_text("labels: {a: b}\n")
    monkeypatch.setenv(f"MAILPORT_{name}", value)
    after = vars(_parser().parse_args([command, *without]))[action.dest]

    assert after != before


def _without(words: list[str], action: argparse.Action) -> list[str]:
    """Leave an option out that is to come by the environment."""
    for spelling in action.option_strings:
        if spelling in words:
            place = words.index(spelling)
            return words[:place] + words[place + 2 :]
    return words


def test_each_command_has_a_help_with_an_example():
    """One to copy."""
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2].replace("_", "-")
        ran = subprocess.run(
            [sys.executable, "-m", "mailport", name, "--help"], capture_output=True, text=True, timeout=60, check=True
        )
        assert "example:\n  " in ran.stdout
