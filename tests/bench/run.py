"""Mailport beside smtp-sink, stock aiosmtpd and Postfix, in one run on one machine.

    python tests/bench/run.py [--quick] [--only NAME …]

The servers take turns, round by round, so that what else the machine does meets them all. Prints two tables; a whole
run also writes them to docs/performance.md. Postfix takes part where this runs as root.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from cases import CASES, Case, send
from contenders import STARTS, Contender, contenders
from report import Rounds, machine, tables, write

PAGE = Path(__file__).parents[2] / "docs/performance.md"
NAMES = tuple(STARTS)


def measure(case: Case, running: list[Contender], rounds: int, seconds: float) -> Rounds:
    """Warm each server up, and then let them take turns."""
    taking_part = [contender for contender in running if not case.only or contender.name in case.only]
    counts = {one.name: max(case.first, int(send(case, one, case.first).rate * seconds)) for one in taking_part}
    measured: Rounds = {(case, one.name): [] for one in taking_part}
    for _ in range(rounds):
        for one in taking_part:
            os.sync()  # what the one before left to be written is not this one's
            measured[case, one.name].append(send(case, one, counts[one.name]))
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round each, in less than a minute")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES))
    options = parser.parse_args()
    rounds, seconds = (1, 0.8) if options.quick else (5, 1.5)

    # /tmp may be in memory, where nothing is durable.
    with tempfile.TemporaryDirectory(prefix="mailport-bench-", dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
        Path(folder).chmod(0o755)  # Postfix's processes are of several users
        where = machine(Path(folder), " ".join(["python tests/bench/run.py", *sys.argv[1:]]), rounds)
        measured: Rounds = {}
        with contenders(Path(folder), options.only) as running:
            for case in CASES:
                sys.stderr.write(f"{case.title} …\n")
                measured |= measure(case, running, rounds, seconds)
    text = f"{where}\n\n{tables(measured)}"
    sys.stdout.write(text + "\n")
    if "Postfix" not in {one.name for one in running}:
        sys.stdout.write("\nPostfix was left out: its master runs as root only.\n")
    elif not options.quick and options.only == NAMES:
        write(PAGE, text)


if __name__ == "__main__":
    main()
