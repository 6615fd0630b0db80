"""Mailport with a bucket and a stream behind it, and its destinations beside bare clients of their libraries, in turns.

    python -m tests.bench.queues [--quick]

A whole run writes its table to docs/performance.md. The other sides are versitygw and nats-server, on the same machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.others import Others
from tests.deliver.nats.servers import make_stream, nats_server
from tests.deliver.s3.servers import BUCKET, KEYS, versitygw
from tests.serving import serving

PAGE = Path(__file__).parents[2] / "docs/performance.md"
BEGIN, END = "<!-- queues: begin -->\n", "<!-- queues: end -->\n"
WANTED = 0.6  # of the bare client's rate
SESSIONS = 20
CASES = {"1 kB": (1000, 4000), "1 MB": (1_000_000, 300)}  # octets, messages a round


def through_mailport(port: int, recipient: str, messages: int, octets: int) -> float:
    program = shutil.which("smtp-source") or "/usr/sbin/smtp-source"
    options = ["-d", "-s", str(SESSIONS), "-m", str(messages), "-l", str(octets), "-f", "sender@example.org"]
    start = time.perf_counter()
    subprocess.run([program, *options, "-t", f"{recipient}@example.org", f"127.0.0.1:{port}"], check=True)
    return messages / (time.perf_counter() - start)


def without_smtp(kind: str, what: str, url: str, messages: int, octets: int) -> float:
    command = [sys.executable, "-m", "tests.bench.bare", kind, what, url, str(messages), str(octets)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(kind: str, url: str, folder: Path, settings: dict[str, Any], rounds: int, share: float) -> list[str]:
    """Return the rows of one kind."""
    routes = [
        {"name": "discard", "recipients": ["discard@example.org"], "deliver": {"discard": {}}},
        {"name": "queue", "recipients": ["*@example.org"], "deliver": {kind: settings}},
    ]
    limits = {"maxConnections": 0, "maxConnectionsPerClient": 0, "minDataRate": 0}
    rows = []
    with serving(folder, {"routes": routes, "limits": limits}, "--allow-local-destinations") as server:
        for title, (octets, whole) in CASES.items():
            messages = max(int(whole * share), SESSIONS)
            through_mailport(server.ports["smtp"], "queue", messages // 4, octets)
            rates = [
                (
                    through_mailport(server.ports["smtp"], "queue", messages, octets),
                    through_mailport(server.ports["smtp"], "discard", messages, octets),
                    without_smtp(kind, "destination", url, messages, octets),
                    without_smtp(kind, "bare", url, messages, octets),
                )
                for _ in range(rounds)
            ]
            medians = [statistics.median(column) for column in zip(*rates, strict=True)]
            reached = "reached" if medians[2] >= WANTED * medians[3] else "short"
            cells = [*(f"{rate:,.0f}" for rate in medians), f"{medians[2] / medians[3]:.2f}", reached]
            rows.append(f"| {kind}, {title} | {' | '.join(cells)} |")
            sys.stderr.write(f"{rows[-1]}\n")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round each")
    options = parser.parse_args()
    rounds, share = (1, 0.2) if options.quick else (5, 1.0)
    load, others = os.getloadavg()[0], Others()
    with tempfile.TemporaryDirectory(prefix="mailport-bench-", dir=os.environ.get("TMPDIR", "/var/tmp")) as name:
        folder = Path(name)
        with nats_server(folder) as server:
            asyncio.run(make_stream(server))
            settings = {"url": server.url, "stream": "MAIL", "subject": "mail.{local}"}
            rows = measure("nats", server.url, folder, settings, rounds, share)
        with versitygw(folder) as store:
            secret = folder / "secrets" / "s3"
            secret.mkdir(parents=True)
            for key, value in KEYS.items():
                (secret / key).write_bytes(value)
            settings = {"bucket": BUCKET, "endpoint": store.url, "credentialsSecretRef": {"name": "s3"}}
            rows += measure("s3", store.url, folder, settings, rounds, share)
    text = "\n".join(
        (
            f"- {time.strftime('%Y-%m-%d')}, `python -m tests.bench.queues`: medians of {rounds} rounds, in turns, 20",
            f"  sessions and 20 tasks. {os.cpu_count()} cores. Load before the run: {load:.1f}.",
            f"  {others}",
            "",
            "| messages/s | by SMTP | by SMTP, discarded | the destination | bare client | of it | 0.6 is wanted |",
            "|---|--:|--:|--:|--:|--:|---|",
            *rows,
        )
    )
    sys.stdout.write(f"{text}\n")
    if not options.quick:
        page = PAGE.read_text()
        before, _, rest = page.partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
