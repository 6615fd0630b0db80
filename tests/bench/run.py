"""Mailport beside smtp-sink, go-smtp, stock aiosmtpd and Postfix, in one run on one machine.

    python tests/bench/run.py [--quick] [--only NAME …] [--parts NAME …] [--cases WORDS …] [--beside CHECKOUT]
                              [--rounds N] [--source] [--json FILE]

The servers take turns, round by round, so that what else the machine does meets them all. Prints tables, and how much
of the machine others used; a whole run also writes them to docs/performance.md, and to docs/performance/ every round as
JSON and the plots that are drawn from it. Mailport is compiled, as in the image (tools/compiled.sh); with `--source` it
is not. Postfix takes part where this runs as root, and then each server that writes durably has a volume of its own but
where a case says so: ext4, on a file. TMPDIR says on which disk.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import handshakes
import latency
import scale
from cases import CASES, SETUPS, Case, send
from contenders import STARTS, Contender, contenders, use_compiled, use_volumes
from others import Others
from plots import FIGURES, draw
from report import Figures, Rounds, machine, tables, write

NAMES = tuple(STARTS)
PARTS = ("rates", "latencies", "handshakes", "connections", "replicas")
_begin = time.monotonic()


def say(text: str) -> None:
    """Tell how far it is, on standard error."""
    sys.stderr.write(f"{time.monotonic() - _begin:6.0f} s  {text}\n")


def measure(case: Case, running: list[Contender], rounds: int, seconds: float) -> Rounds:
    """Warm each server up, and then let them take turns."""
    taking_part = [one for one in running if not case.only or one.name.removesuffix(" before") in case.only]
    counts = {one.name: max(case.first, int(send(case, one, case.first).rate * seconds)) for one in taking_part}
    measured: Rounds = {(case, one.name): [] for one in taking_part}
    for _ in range(rounds):
        for one in taking_part:
            os.sync()  # what the one before left to be written is not this one's
            measured[case, one.name].append(send(case, one, counts[one.name]))
    return measured


def beside_each_other(options: argparse.Namespace, folder: Path, figures: Figures, others: Others) -> None:
    """Measure what all servers are asked in turns, in clear and then with each kind of certificate."""
    seconds, least, idle = (0.5, 100, 1_000) if options.quick else (1.5, 2_000, 10_000)
    wanted = [case for case in CASES if any(words in case.title for words in options.cases)]
    for key, shared in SETUPS:
        cases = [case for case in wanted if (case.key, case.shared) == (key, shared)]
        cases = cases if "rates" in options.parts else []
        if not cases and (shared or ("handshakes" if key else "latencies") not in options.parts):
            continue
        use_volumes(not shared and os.geteuid() == 0)
        with contenders(folder / f"{key or 'clear'}{'-shared' * shared}", options.only, key, options.beside) as running:
            for case in cases:
                say(case.title)
                figures.rates |= measure(case, running, options.rounds, seconds)
            if not key and not shared and "latencies" in options.parts:
                say("latencies")
                figures.latencies += latency.measure_latencies(running, 4 * seconds, least, idle)
            if key and "handshakes" in options.parts:
                say(f"beside handshakes, {key}")
                figures.handshakes += handshakes.measure_handshakes(running, key, min(options.rounds, 3), 2.5 * seconds)
            others.except_for(sum(one.cpu for one in running if one.name == "Postfix"))


def growing(options: argparse.Namespace, folder: Path, figures: Figures) -> None:
    """Measure more and more connections, and more than one process."""
    use_volumes(os.geteuid() == 0)
    rounds, seconds, counts = (1, 0.5, (10, 100, 1_000)) if options.quick else (3, 3, scale.CONNECTIONS)
    if "connections" in options.parts:
        place = folder / "connections"
        figures.connections += scale.measure_connections(place, options.only, rounds, seconds, counts, say)
    if "replicas" in options.parts:
        figures.replicas += scale.measure_replicas(folder / "replicas", options.only, rounds, seconds, say)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round each, in a minute or two")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, metavar="NAME", help=", ".join(PARTS))
    parser.add_argument("--cases", nargs="+", default=[""], metavar="WORDS", help="rates: those whose title has these")
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="an earlier version's, with a .venv of its own")
    parser.add_argument("--rounds", type=int, metavar="N", help="5: medians are taken. More for a noisy machine")
    parser.add_argument("--source", action="store_true", help="the source, and not what the image has, compiled")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where every round is kept")
    options = parser.parse_args()
    some = (
        options.quick,
        options.rounds is not None,
        options.only != NAMES,
        options.parts != PARTS,
        options.cases != [""],
        options.beside is not None,
        options.source,
    )
    whole = not any(some)
    options.rounds = options.rounds or (1 if options.quick else 5)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # for those who inherit it: ten thousand connections

    # /tmp may be in memory, where nothing is durable.
    with tempfile.TemporaryDirectory(prefix="mailport-bench-", dir=os.environ.get("TMPDIR", "/var/tmp")) as name:
        folder, others = Path(name), Others()
        folder.chmod(0o755)  # Postfix's processes are of several users
        command = " ".join(["python tests/bench/run.py", *sys.argv[1:]])
        where = machine(folder, command, options.rounds)
        where += f"\n  Mailport is {'not compiled' if options.source else 'compiled by mypyc, as in the image'}."
        if not options.source:
            use_compiled()
        figures = Figures(where)
        beside_each_other(options, folder, figures, others)
        growing(options, folder, figures)
        figures.where += f"\n  {others}"
    text = f"{figures.where}\n\n{tables(figures)}"
    sys.stdout.write(text + "\n")
    if options.json is not None:
        options.json.write_text(figures.as_json())
    if "Postfix" in options.only and os.geteuid() != 0:
        sys.stdout.write("\nPostfix was left out: its master runs as root only.\n")
    elif whole:
        FIGURES.parent.mkdir(exist_ok=True)
        FIGURES.write_text(figures.as_json())
        write("\n\n".join([text, *draw(json.loads(figures.as_json()), FIGURES.parent)]))


if __name__ == "__main__":
    main()
