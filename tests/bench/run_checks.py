"""What the checks cost: Mailport with `checks: {}` beside Mailport without.

    python -m tests.bench.run_checks [--quick] [--source]

One message with one RSA 2048 signature, of a client with a public address (by a PROXY header), whose SPF, DKIM, DMARC
and iprev all pass; the DNS answers are known after the first. Beside them stands Postfix with OpenDKIM, pyspf-milter
and OpenDMARC, where `tools/setup.sh bench` has installed them. All take turns, round by round. Mailport is compiled, as
in the image (tools/compiled.sh); with `--source` it is not. A whole run writes its table to docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))

from contenders import DOMAIN, SESSIONS, Contender, accepts, built, serving, until, use_compiled
from milters import HELD, NAME, headers_of_held, missing, postfix_with_milters
from others import Others
from report import machine
from tests.authentication import signing
from tests.checks.dns_server import dns_server

PAGE = Path(__file__).parents[2] / "docs/performance.md"
BEGIN, END = "<!-- bench checks: begin -->", "<!-- bench checks: end -->"
CLIENT, SENDER = "192.0.2.1", "anna@sender.example"
SIZES = {"small": 1000, "1 MB": 1_000_000}
ZONE = {
    "1.2.0.192.in-addr.arpa": [("PTR", "mail.sender.example")],
    "mail.sender.example": [("A", CLIENT)],
    "sender.example": [("TXT", f"v=spf1 ip4:{CLIENT} -all"), ("MX", (10, "mail.sender.example"))],
    "_dmarc.sender.example": [("TXT", "v=DMARC1; p=reject")],
}
TARGETS = (("small", "without", 0.5), ("1 MB", "without", 0.6), ("small", NAME, 3), ("1 MB", NAME, 3))


def message(octets: int) -> bytes:
    """A signed message of about so many octets."""
    line = b"The quick brown fox jumps over the lazy dog, and then it rests for a while.\r\n"
    head = f"From: Anna <{SENDER}>\r\nTo: user@{DOMAIN}\r\nSubject: load\r\nMessage-ID: <1@sender.example>\r\n"
    unsigned = head.encode() + b"Date: Sat, 28 Nov 2026 12:00:00 +0000\r\n\r\n" + line * (octets // len(line) + 1)
    names = [b"from", b"to", b"subject", b"date", b"message-id"]
    return signing.sign(unsigned, domain=b"sender.example", include_headers=names)


def mailport(folder: Path, name: str, checks: dict[str, object] | None) -> AbstractContextManager[Contender]:
    """Serve with `discard`; the client's address comes by a PROXY header."""
    spec: dict[str, object] = {"routes": [{"name": "mail", "recipients": [f"*@{DOMAIN}"], "deliver": {"discard": {}}}]}
    if checks is not None:
        spec["checks"] = checks
    trusted = {"proxyProtocol": {"trustedCIDRs": ["127.0.0.1/32"]}}
    # It greets behind a header only
    return serving(folder, name, spec, "--allow-local-destinations", listener=trusted, ready=accepts)


def send(contender: Contender, file: Path, messages: int, to: str = f"user@{DOMAIN}") -> tuple[float, float]:
    """Send so many messages; return messages a second, and the server's CPU seconds a message."""
    command = [
        built("smtp-load"),
        f"-address=127.0.0.1:{contender.port}",
        f"-sessions={SESSIONS}",
        f"-messages={messages}",
    ]
    command += ["-reuse", f"-file={file}", f"-proxy={CLIENT}", f"-from={SENDER}", f"-to={to}"]
    cpu, start = contender.cpu, time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    contender.rest(messages)
    return messages / seconds, (contender.cpu - cpu) / messages


def measure(running: list[Contender], file: Path, rounds: int, seconds: float) -> dict[str, list[tuple[float, float]]]:
    first = 40 if file.stat().st_size > 100_000 else 400
    counts = {one.name: max(first, int(send(one, file, first)[0] * seconds)) for one in running}
    measured: dict[str, list[tuple[float, float]]] = {one.name: [] for one in running}
    for _ in range(rounds):
        for one in running:
            measured[one.name].append(send(one, file, counts[one.name]))
    return measured


def verify_mailport(folder: Path, contender: Contender, file: Path) -> None:
    """Look at one message: a check that could not be made costs less than one that passes."""
    send(contender, file, 1)
    log = folder / f"{contender.name}.log"
    until(lambda: '"authentication"' in log.read_text(), "the message is in the log")
    for result in ("iprev=pass", "spf=pass", "dkim=pass", "dmarc=pass"):
        if result not in log.read_text():
            raise SystemExit(f"Mailport does not say {result}: {log.read_text()}")


def verify_milters(folder: Path, contender: Contender, file: Path) -> None:
    """Look at one message: what is measured has to be what it is said to be."""
    send(contender, file, 1, HELD)
    found = headers_of_held(folder)
    for result in ("dkim=pass", "spf=pass", "dmarc=pass"):
        if result not in found.lower():
            raise SystemExit(f"the milters do not say {result}:\n{found}")


def table(measured: dict[str, dict[str, list[tuple[float, float]]]]) -> str:
    names = list(dict.fromkeys(name for of in measured.values() for name in of))
    lines = [" | ".join(["| one RSA 2048 signature", "", *names, "|"]), "|---|---|" + "--:|" * len(names)]
    for title, of in measured.items():
        figures: list[tuple[str, Callable[[list[tuple[float, float]]], str]]] = [
            ("messages/s", lambda rounds: f"{median(rate for rate, _ in rounds):,.0f}"),
            ("CPU µs a message", lambda rounds: f"{median(cpu for _, cpu in rounds) * 1e6:,.0f}"),
        ]
        lines += [
            " | ".join(
                [f"| {title}, reused connections", figure, *(cell(of[n]) if n in of else "" for n in names), "|"]
            )
            for figure, cell in figures
        ]
    lines += ["", "| case | to reach | measured | |", "|---|---|--:|---|"]
    for title, other, wanted in TARGETS:
        ours, theirs = measured[title]["checks: {}"], measured[title].get(other)
        if theirs:
            times = median(rate for rate, _ in ours) / median(rate for rate, _ in theirs)
            lines.append(
                f"| {title} | {wanted:g} times {other} | {times:.2f} | {'reached' if times >= wanted else 'short'} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round each")
    parser.add_argument("--source", action="store_true", help="the source, and not what the image has, compiled")
    options = parser.parse_args()
    rounds, seconds = (1, 1.0) if options.quick else (5, 2.0)
    if not options.source:
        use_compiled()
    zone = {**ZONE, "s._domainkey.sender.example": [("TXT", signing.rsa_record(signing.rsa_key()))]}
    with tempfile.TemporaryDirectory(prefix="mailport-bench-", dir=os.environ.get("TMPDIR", "/var/tmp")) as made:
        folder = Path(made)
        folder.chmod(0o755)
        where = machine(folder, " ".join(["python -m tests.bench.run_checks", *sys.argv[1:]]), rounds)
        where += f"\n  Mailport is {'not compiled' if options.source else 'compiled by mypyc, as in the image'}."
        measured, others = {}, Others()
        with dns_server(zone) as dns, ExitStack() as stack:
            servers = {"dns": {"servers": [{"address": "127.0.0.1", "port": dns.port}]}}
            running = [
                stack.enter_context(mailport(folder, name, checks))
                for name, checks in (("without", None), ("checks: {}", servers))
            ]
            small = folder / "one.eml"
            small.write_bytes(message(SIZES["small"]))
            verify_mailport(folder, running[-1], small)
            if lacking := missing():
                sys.stderr.write(f"{NAME}: not measured, without {', '.join(lacking)} (tools/setup.sh bench)\n")
            else:
                running.append(stack.enter_context(postfix_with_milters(folder, zone)))
                verify_milters(folder, running[-1], small)
            for title, octets in SIZES.items():
                file = folder / f"{octets}.eml"
                file.write_bytes(message(octets))
                sys.stderr.write(f"{title} …\n")
                measured[title] = measure(running, file, rounds, seconds)
    text = f"{where}\n  {others}\n\n{table(measured)}"
    sys.stdout.write(text + "\n")
    if not (options.quick or options.source):
        page = PAGE.read_text()
        PAGE.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{text}\n{END}", page, flags=re.DOTALL))


if __name__ == "__main__":
    main()
