"""Mailport in front of a next hop, beside Postfix that relays to the same with its own queue.

    python tests/bench/next_hops.py [--quick]

Real next hops: Dovecot by LMTP, and a second Postfix by SMTP. 20 sessions send, each to a mailbox of its own, and what
counts is when a message is at the next hop. The two take turns, round by round. Prints a table; a whole run also
writes it to docs/performance.md. Runs as root only, as Postfix does.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median

import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))

from contenders import DOMAIN, SESSIONS, Contender, free_port, greets, nothing, serving, until
from others import Others
from report import machine
from tests.deliver.next_hop import servers
from tests.deliver.next_hop.servers import NextHopServer

PAGE = Path(__file__).parents[2] / "docs/performance.md"
BEGIN, END = "<!-- bench-next-hops: begin -->", "<!-- bench-next-hops: end -->"
MAILBOXES = tuple(f"box{number}" for number in range(SESSIONS))
SIZES = {"small": 1000, "1 MB": 1_000_000}  # octets of content
RATE, LATENCY = 2.0, 0.5  # times Postfix' rate, and its p99
_names = count()

# --- the two that are measured


@dataclass(frozen=True, kw_only=True)
class Relay(Contender):
    """A server between us and the next hop."""

    said: Path  # its log
    replies_early: bool = False  # the log, and not the reply, tells when the next hop had each message


@contextmanager
def mailport(folder: Path, kind: str, port: int) -> Iterator[Relay]:
    """Serve with one route to the next hop."""
    name, next_hop = f"Mailport {kind}", {"host": "127.0.0.1", "port": port, "tls": {"mode": "Disabled"}}
    routes = [{"name": "onward", "recipients": [f"*@{DOMAIN}"], "deliver": {kind: next_hop}}]
    with serving(folder, name, {"routes": routes}, "--allow-local-destinations") as contender:
        yield Relay(name, contender.port, contender.pid, nothing, said=folder / f"{name}.log")


_RELAY = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/lib
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = mx.example.org
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
disable_dns_lookups = yes
alias_maps =
relay_domains = {domain}
relay_transport = {transport}
smtpd_relay_restrictions = reject_unauth_destination
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
message_size_limit = 0
in_flow_delay = 0
enable_long_queue_ids = yes
delay_logging_resolution_limit = 6
"""
_RELAY_SERVICES = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup   unix n - n -    0 cleanup
qmgr      unix n - n 300  1 qmgr
rewrite   unix - - n -    - trivial-rewrite
bounce    unix - - n -    0 bounce
defer     unix - - n -    0 bounce
trace     unix - - n -    0 bounce
proxymap  unix - - n -    - proxymap
smtp      unix - - n -    - smtp
lmtp      unix - - n -    - lmtp
error     unix - - n -    - error
retry     unix - - n -    - error
showq     unix n - n -    - showq
anvil     unix - - n -    1 anvil
scache    unix - - n -    1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


@contextmanager
def relay(parent: Path, kind: str, port: int) -> Iterator[Relay]:
    """Run a Postfix that queues and relays. `in_flow_delay` is off, as in the other benches."""
    folder, listening = parent / f"relay-{kind}", free_port()
    for name in ("conf", "spool", "lib"):
        (folder / name).mkdir(parents=True)
    shutil.chown(folder / "lib", "postfix")
    transport = f"lmtp:inet:127.0.0.1:{port}" if kind == "lmtp" else f"smtp:[127.0.0.1]:{port}"
    (folder / "conf/main.cf").write_text(_RELAY.format(folder=folder, domain=DOMAIN, transport=transport))
    (folder / "conf/master.cf").write_text(_RELAY_SERVICES.format(port=listening))
    control = [shutil.which("postfix") or "/usr/sbin/postfix", "-c", str(folder / "conf")]
    subprocess.run([*control, "start"], check=True, capture_output=True)
    try:
        until(lambda: greets(listening), "Postfix greets")
        pid = int((folder / "spool/pid/master.pid").read_text())
        yield Relay(f"Postfix {kind}", listening, pid, nothing, said=folder / "log", replies_early=True)
    finally:
        subprocess.run([*control, "stop"], check=False, capture_output=True)


# --- what is sent, and when it arrives


@dataclass
class Sent:
    """The messages of one round, by name; nanoseconds since the epoch."""

    ended: dict[str, int] = field(default_factory=dict)  # the end of the content went out
    answered: dict[str, int] = field(default_factory=dict)


class Session(asyncio.Protocol):
    """Sends messages over one connection, as mail servers do: commands at once, then the content."""

    def __init__(self, sent: Sent, mailbox: str, size: int, messages: int) -> None:
        self.sent, self.size, self.left = sent, size, messages
        self.envelope = f"MAIL FROM:<a@client.example>\r\nRCPT TO:<{mailbox}@{DOMAIN}>\r\nDATA\r\n".encode()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.buffer, self.replies, self.name = b"", 0, ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self.buffer = (self.buffer + data).split(b"\r\n")
        for line in lines:
            if line[3:4] != b"-":
                self._reply(line)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("closed"))

    def _reply(self, line: bytes) -> None:
        if line[:1] not in b"23":
            self.done.set_exception(ConnectionError(line.decode()))
            self.transport.close()
            return
        self.replies += 1
        if self.replies == 1:
            self.transport.write(b"EHLO client.example\r\n")
        elif line.startswith(b"354"):
            self.name = f"bench-{next(_names)}"
            content = content_of(self.name, self.size)
            self.sent.ended[self.name] = time.time_ns()
            self.transport.write(content)
        elif self.replies == 2 or (self.replies - 2) % 4 == 0:
            if self.name:
                self.sent.answered[self.name] = time.time_ns()
            if self.left:
                self.left -= 1
                self.transport.write(self.envelope)
            else:
                self.done.set_result(None)
                self.transport.close()


_LINE = b"x" * 70 + b"\r\n"


def content_of(name: str, size: int) -> bytes:
    return f"From: a@client.example\r\nSubject: {name}\r\n\r\n".encode() + _LINE * (size // 72 + 1) + b".\r\n"


async def send(port: int, size: int, messages: int) -> Sent:
    sent, loop = Sent(), asyncio.get_running_loop()

    async def one(mailbox: str) -> None:
        _, session = await loop.create_connection(
            lambda: Session(sent, mailbox, size, messages // SESSIONS), "127.0.0.1", port
        )
        await session.done

    await asyncio.gather(*[one(mailbox) for mailbox in MAILBOXES])
    return sent


_SUBJECT = re.compile(rb"^Subject: (bench-\d+)", re.MULTILINE)
_RELAYED = re.compile(rb"^\s+by mx\.example\.org \(Postfix\) with \S+ id (\w+)", re.MULTILINE)
_DIGITS = {digit: value for value, digit in enumerate("0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz")}


class Mailboxes:
    """What is at the next hop."""

    def __init__(self, server: NextHopServer) -> None:
        self._folders = [server.home / "mail" / mailbox / "new" for mailbox in MAILBOXES]
        self._known: set[str] = set()
        assert server.process is not None
        self._processes = Contender("the next hop", server.port, server.process.pid, nothing)

    @property
    def cpu(self) -> float:
        """Seconds of CPU that the next hop has used."""
        return self._processes.cpu

    def new(self, messages: int) -> dict[str, str]:
        """Wait for so many new messages; return the queue ID that a relay gave each, by its name."""
        wanted = messages + len(self._known)
        until(lambda: sum(1 for _ in self._paths()) >= wanted, "all at the next hop", 120)
        there = {}
        for path in self._paths():
            if path.name not in self._known:
                self._known.add(path.name)
                with path.open("rb") as file:
                    head = file.read(2000)
                name, queue_id = _SUBJECT.search(head), _RELAYED.search(head)
                assert name is not None
                there[name[1].decode()] = queue_id[1].decode() if queue_id else ""
        return there

    def _paths(self) -> Iterator[Path]:
        for folder in self._folders:
            if folder.exists():
                yield from folder.iterdir()


def handed_on(log: Path) -> dict[str, int]:
    """Return when the next hop had taken each message of a relay, in nanoseconds since the epoch, by its queue ID.

    A long queue ID holds the time at which its file was begun; the log has the seconds from there to the next hop's
    250, of which two digits count (postconf(5), enable_long_queue_ids and delay_logging_resolution_limit).
    """
    sent = re.findall(r" (\w+): to=<.*, delay=([\d.]+), .* status=sent ", log.read_text(errors="replace"))
    return {queue_id: _begun(queue_id) + int(float(delay) * 1e9) for queue_id, delay in sent}


def _begun(queue_id: str) -> int:
    seconds = microseconds = 0
    for digit in queue_id[:6]:
        seconds = seconds * 52 + _DIGITS[digit]
    for digit in queue_id[6:10]:
        microseconds = microseconds * 52 + _DIGITS[digit]
    return (seconds * 1_000_000 + microseconds) * 1000


@dataclass(frozen=True)
class Round:
    """What one round came to."""

    rate: float  # messages a second, to the last one at the next hop
    p99: float  # milliseconds from the end of the content until the next hop has it, of the 99th of a hundred
    cpu: float  # microseconds of CPU, a message
    both: float  # likewise, with the next hop's


def measure(contender: Relay, mailboxes: Mailboxes, size: int, messages: int) -> Round:
    """Send so many, and wait until each is at the next hop, once.

    Mailport's reply says that it is there. Postfix' says that it is in the queue: of its messages the log tells.
    """
    os.sync()  # what the one before left to be written is not this one's
    cpu, hop_cpu = contender.cpu, mailboxes.cpu
    try:
        sent = uvloop.run(send(contender.port, size, messages))
    except ConnectionError as error:
        raise SystemExit(f"{contender.name}: {error}\n{contender.said.read_text()[-2000:]}") from error
    there = mailboxes.new(len(sent.ended))
    assert there.keys() == sent.ended.keys() == sent.answered.keys(), "each message once"
    at = sent.answered
    if contender.replies_early:
        until(lambda: set(there.values()) <= handed_on(contender.said).keys(), "all in the relay's log")
        taken = handed_on(contender.said)
        at = {name: taken[queue_id] for name, queue_id in there.items()}
    waited = sorted(at[name] - ended for name, ended in sent.ended.items())
    cpu, hop_cpu = contender.cpu - cpu, mailboxes.cpu - hop_cpu
    return Round(
        rate=len(at) / ((max(at.values()) - min(sent.ended.values())) / 1e9),
        p99=waited[int(len(waited) * 0.99)] / 1e6,
        cpu=cpu / len(at) * 1e6,
        both=(cpu + hop_cpu) / len(at) * 1e6,
    )


def table(measured: dict[tuple[str, str], tuple[list[Round], list[Round]]]) -> str:
    """Return Markdown."""
    lines = [
        "| next hop, messages | | Mailport | Postfix | to reach | measured | |",
        "|---|---|--:|--:|---|--:|---|",
    ]
    for (hop, size), (ours, theirs) in measured.items():
        rate, their_rate = (median(one.rate for one in rounds) for rounds in (ours, theirs))
        reply, there = (median(one.p99 for one in rounds) for rounds in (ours, theirs))
        for figure, mine, other, goal, ratio, met in (
            (
                "messages/s",
                f"{rate:,.0f}",
                f"{their_rate:,.0f}",
                f"{RATE:g} times",
                rate / their_rate,
                rate >= RATE * their_rate,
            ),
            (
                "p99, ms",
                f"{reply:,.1f}",
                f"{there:,.1f}",
                f"{LATENCY:g} times",
                reply / there,
                reply <= LATENCY * there,
            ),
        ):
            verdict = "reached" if met else "short"
            lines.append(f"| {hop}, {size} | {figure} | {mine} | {other} | {goal} | {ratio:.2f} | {verdict} |")
        for figure, of in (("CPU µs a message", lambda one: one.cpu), ("… with the next hop's", lambda one: one.both)):
            mine, other = (median(map(of, rounds)) for rounds in (ours, theirs))
            lines.append(f"| {hop}, {size} | {figure} | {mine:,.0f} | {other:,.0f} | | {mine / other:.2f} | |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round each")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("Postfix' master runs as root only")
    rounds, seconds = (1, 1.5) if options.quick else (5, 3.0)
    hops = {
        "Dovecot by LMTP": ("lmtp", lambda: servers.dovecot(*MAILBOXES, quota=False)),
        "Postfix by SMTP": ("smtp", lambda: servers.postfix(*MAILBOXES)),
    }
    measured: dict[tuple[str, str], tuple[list[Round], list[Round]]] = {}
    # /tmp may be in memory, where nothing is durable.
    with tempfile.TemporaryDirectory(prefix="bench-", dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
        Path(folder).chmod(0o755)  # the servers' processes are of several users
        tempfile.tempdir = folder
        others = Others()
        where = machine(Path(folder), " ".join(["python tests/bench/next_hops.py", *sys.argv[1:]]), rounds)
        for hop, (kind, start) in hops.items():
            with ExitStack() as stack:
                server = stack.enter_context(start())
                mailboxes = Mailboxes(server)
                pair = [stack.enter_context(one(Path(folder), kind, server.port)) for one in (mailport, relay)]
                for size, octets in SIZES.items():
                    sys.stderr.write(f"{hop}, {size} …\n")
                    first = 10 * SESSIONS if octets > 10_000 else 40 * SESSIONS
                    counts = [max(first, int(measure(one, mailboxes, octets, first).rate * seconds)) for one in pair]
                    results: tuple[list[Round], list[Round]] = ([], [])
                    for _ in range(rounds):
                        for one, messages, found in zip(pair, counts, results, strict=True):
                            found.append(measure(one, mailboxes, octets, messages))
                    measured[hop, size] = results
                # a Postfix' master is no child of ours
                others.except_for(sum(one.cpu for one in pair if one.replies_early))
        tempfile.tempdir = None
    text = f"{where}\n  {others}\n\n{table(measured)}"
    sys.stdout.write(text + "\n")
    if not options.quick:
        before, begin, rest = PAGE.read_text().partition(BEGIN)
        _, end, after = rest.partition(END)
        assert begin, f"{PAGE}: no {BEGIN}"
        assert end, f"{PAGE}: no {END}"
        PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


if __name__ == "__main__":
    main()
