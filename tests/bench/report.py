"""What was measured, and its tables: how Mailport stands beside others, and against what it is to reach."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

import handshakes
import latency
import scale
from cases import BIG, CASES, ECDSA, HUNDRED, NEW, REUSED, RSA, SESSIONS, Case, Round
from handshakes import Beside
from interpreter import python
from latency import Latency
from scale import Scale

PAGE = Path(__file__).parents[2] / "docs/performance.md"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"

Rounds = dict[tuple[Case, str], list[Round]]


@dataclass
class Figures:
    """Every round of a run."""

    where: str  # and how
    rates: Rounds = field(default_factory=dict)
    latencies: list[Latency] = field(default_factory=list)
    handshakes: list[Beside] = field(default_factory=list)
    connections: list[Scale] = field(default_factory=list)
    replicas: list[Scale] = field(default_factory=list)

    def as_json(self) -> str:
        """Return what the plots are drawn from, and what runs can be compared by."""
        rates = [
            {"case": case.title, "server": name, "rounds": [asdict(one) for one in rounds]}
            for (case, name), rounds in self.rates.items()
        ]
        return json.dumps(asdict(replace(self, rates={})) | {"rates": rates}, indent=1) + "\n"


@dataclass(frozen=True)
class Target:
    name: str
    case: Case
    times: float
    of: str


TARGETS = (
    Target("Mailport discard", REUSED, 6, "aiosmtpd"),
    Target("Mailport discard", BIG, 8, "aiosmtpd"),
    *(Target("Mailport discard", case, 0.5, "smtp-sink") for case in (REUSED, BIG)),
    Target("Mailport discard", NEW, 0.6, "smtp-sink"),
    Target("Mailport maildir", REUSED, 3, "Postfix"),
    Target("Mailport maildir", NEW, 1.5, "Postfix"),
    Target("Mailport maildir", HUNDRED, 2.5, "Postfix"),
    Target("Mailport maildir", BIG, 1, "Postfix"),
    *(Target("Mailport maildir", case, 2, "Postfix") for case in (RSA, ECDSA)),
)


def rate(rounds: list[Round]) -> float:
    return median(one.rate for one in rounds)


def tables(figures: Figures) -> str:
    """Return Markdown, which is what the terminal gets too: a table for each part that was measured."""
    parts = [
        figures.rates and rates_table(figures.rates),
        figures.latencies and latency.table(figures.latencies),
        figures.handshakes and handshakes.table(figures.handshakes),
        figures.connections and scale.table("connections", figures.connections, lambda one: one.connections),
        figures.replicas and scale.table("processes", figures.replicas, lambda one: one.replicas),
    ]
    return "\n\n".join(part for part in parts if part)


def rates_table(rounds: Rounds) -> str:
    """Return Markdown: rates, the servers' CPU, and what is to be reached."""
    names = list(dict.fromkeys(name for _, name in rounds))
    cases = [case for case in CASES if any(case is measured for measured, _ in rounds)]

    def row(case: Case, figure: str, cell) -> str:
        cells = [cell(rounds[case, name]) if (case, name) in rounds else "" for name in names]
        return " | ".join(["", case.title, figure, *cells, ""]).strip()

    lines = [
        " | ".join(["", "case", "", *names, ""]).strip(),
        "|---|---|" + "--:|" * len(names),
    ]
    for case in cases:
        lines.append(row(case, "messages/s", lambda one: f"{rate(one):,.0f}"))
        lines.append(row(case, "CPU µs a message", lambda one: f"{median(r.cpu for r in one) * 1e6:,.0f}"))
    lines += ["", "| Mailport | case | to reach | measured | |", "|---|---|---|--:|---|"]
    for target in TARGETS:
        ours, theirs = rounds.get((target.case, target.name)), rounds.get((target.case, target.of))
        if ours and theirs:
            times = rate(ours) / rate(theirs)
            verdict = "reached" if times >= target.times else "short"
            kind = target.name.removeprefix("Mailport ")
            to_reach = f"{target.times:g} times {target.of}"
            lines.append(f"| {kind} | {target.case.title} | {to_reach} | {times:.2f} | {verdict} |")
    return "\n".join(lines)


def machine(folder: Path, command: str, rounds: int) -> str:
    """Say where and how this was measured."""
    cpu = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    postconf = shutil.which("postconf") or "/usr/sbin/postconf"
    file_system = said(["df", "--output=fstype", str(folder)]).split()[-1]
    return f"""\
- {datetime.now(UTC):%Y-%m-%d}, `{command}`: medians of {rounds} rounds, in turns, {SESSIONS} sessions.
- {os.cpu_count()} cores ({cpu[1] if cpu else platform.machine()}), {memory:.0f} GiB, Linux {platform.release()},
  {file_system}. Load before the run: {os.getloadavg()[0]:.1f}.
- {python()}, Mailport {version("mailport")} on uvloop {version("uvloop")};
  aiosmtpd {version("aiosmtpd")} on asyncio; Postfix {said([postconf, "-dh", "mail_version"]).strip()}."""


def said(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def write(text: str) -> None:
    """Put the figures between their markers; the prose around them stays."""
    before, begin, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{PAGE}: no {BEGIN} … {END}")
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
