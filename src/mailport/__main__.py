"""What can be called: `mailport serve`, `operator`, `validate`, `check`, `render`, `hash-password`, `send`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from mailport import __version__
from mailport.commands import check, hash_password, operator, render, send, serve, validate
from mailport.commands.options import EPILOG
from mailport.process import log

COMMANDS = (serve, operator, validate, check, render, hash_password, send)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        status = options.run(options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `mailport validate … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return int(status)


def run() -> NoReturn:
    """Run a command, and end the process with its exit status.

    Where obstore was in use the interpreter is not taken apart: a thread of obstore's that lets go of an object in that
    moment aborts the process (seen at one exit of five, as status 134).
    """
    try:
        status = main()
    except Exception:  # noqa: BLE001 - a fault of ours: it is said as Python says it, and ends the same way
        sys.excepthook(*sys.exc_info())
        status = 1
    if "obstore" in sys.modules:
        log.flush()
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mailport",
        description="The inbound SMTP gateway that Kubernetes lacks; the same document runs on a laptop.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mailport {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    return parser


if __name__ == "__main__":
    run()
