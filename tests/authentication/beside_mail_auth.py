"""SPF, DKIM, DMARC and ARC beside mail-auth, an implementation in Rust, on generated cases.

    python -m tests.authentication.beside_mail_auth [--cases 3000] [--only spf]

Builds tools/mail-auth by cargo, and serves it each case's zone by DNS; we are asked as pure cores. Says how often both
agree, and each kind of difference with its first case. No test: CI has no Rust.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from random import Random
from typing import Any

from mailport.authentication import dmarc, spf
from mailport.authentication.fields import Fields
from mailport.authentication.spf import SpfResult
from tests.authentication import odd_signatures, odd_zones
from tests.authentication.signing import split, verify
from tests.authentication.test_arc_suite import verified
from tests.authentication.zones import Zone, answering, run
from tests.checks.dns_server import DnsServer, dns_server

HARNESS = Path(__file__).parents[2] / "tools/mail-auth"


class MailAuth:
    """The harness, and the DNS server that it asks."""

    def __init__(self, process: subprocess.Popen[str], server: DnsServer) -> None:
        self._process, self._server = process, server

    def __call__(self, zone: Zone, **case: str) -> dict[str, Any]:
        """What it says of a case."""
        self._server.zone = {name.lower(): records for name, records in zone.items()}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found


@contextmanager
def mail_auth() -> Iterator[MailAuth]:
    # what mail-auth needs asks for a newer Rust than it takes to build it
    build = ["cargo", "build", "--release", "--quiet", "--ignore-rust-version"]
    subprocess.run(build, check=True, cwd=HARNESS)
    with dns_server({}) as server:
        command = [HARNESS / "target/release/mail-auth-harness", str(server.port)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            yield MailAuth(process, server)
            assert process.stdin is not None
            process.stdin.close()


def spf_of(case: odd_zones.Case) -> SpfResult:
    local, _, domain = case.sender.partition("@")
    return run(spf.check(ip_address(case.client), sender=(local, domain), helo=case.helo), answering(case.zone))


def compare_spf(other: MailAuth, seed: int) -> tuple[str, str, str]:
    case = odd_zones.spf_case(Random(seed))
    found = spf_of(case)
    theirs = other(case.zone, client=case.client, sender=case.sender, helo=case.helo, message="")
    return found.result, theirs["spf"], found.why


def compare_dmarc(other: MailAuth, seed: int) -> tuple[str, str, str]:
    case = odd_zones.dmarc_case(Random(seed))
    signed = verify(case.message, case.zone)
    section, _ = split(case.message)
    found = run(dmarc.check(Fields(section), spf_of(case), signed), answering(case.zone))
    theirs = other(
        case.zone, client=case.client, sender=case.sender, helo=case.helo, message=case.message.decode("latin-1")
    )
    result = theirs["dmarc"].split()[0]
    if found.result == result == "fail":
        return f"fail {found.policy.word}", f"fail {theirs['policy']}", found.why
    return found.result, result, f"{found.why} / {theirs['dmarc']}"


def compare_dkim(other: MailAuth, seed: int) -> tuple[str, str, str]:
    """Whether it passes: how the rest is called differs (RFC 8601 §2.7.1 leaves much open)."""
    case = odd_signatures.dkim_case(Random(seed), kinds=("2048", "1024", "ed25519"))
    ours = verify(case.message, case.zone)
    theirs = other(case.zone, client="192.0.2.1", sender="", helo="h.example", message=case.message.decode("latin-1"))
    said = theirs.get("dkim") or ["nothing"]
    passes = [bool(ours) and ours[0].result == "pass", said[0] == "pass"]
    words = ["pass" if one else "no pass" for one in passes]
    return words[0], words[1], f"{', '.join(sorted(case.oddities))}: {ours[0].why if ours else '-'} / {said[0]}"


def compare_arc(other: MailAuth, seed: int) -> tuple[str, str, str]:
    case = odd_signatures.arc_case(Random(seed))
    ours = verified(case.message, case.zone)
    theirs = other(case.zone, client="192.0.2.1", sender="", helo="h.example", message=case.message.decode("latin-1"))
    said = theirs.get("arc", "nothing")
    words = ["pass" if result == "pass" else "no pass" for result in (ours.result, said)]
    return words[0], words[1], f"{', '.join(sorted(case.oddities))}: {ours.why} / {said}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = {"spf": compare_spf, "dmarc": compare_dmarc, "dkim": compare_dkim, "arc": compare_arc}
    parser.add_argument("--cases", type=int, default=3000, help="of each kind (default: %(default)s)")
    parser.add_argument("--only", choices=kinds)
    options = parser.parse_args()
    write = sys.stdout.write
    with mail_auth() as other:
        for kind, compare in kinds.items():
            if options.only not in (None, kind):
                continue
            same, differ, first = 0, Counter[tuple[str, str, str]](), dict[tuple[str, str, str], int]()
            results = Counter[str]()
            for seed in range(options.cases):
                ours, theirs, why = compare(other, seed)
                results[ours] += 1
                if ours == theirs:
                    same += 1
                else:
                    differ[ours, theirs, why] += 1
                    first.setdefault((ours, theirs, why), seed)
            write(f"{kind}: {same} of {options.cases} the same; ours: {dict(results)}\n")
            for key, count in differ.most_common():
                write(f"  {count} times, first {first[key]}: ours {key[0]}, theirs {key[1]}: {key[2]}\n")


if __name__ == "__main__":
    main()
