"""The servers that are measured: how each is started, stopped, and brought back to rest between two rounds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

SESSIONS = 20
DOMAIN = "example.org"
START_SECONDS = 20
LIMITS = (
    *("maxConnections", "maxConnectionsPerClient", "maxRecipients", "maxErrors"),
    *("commandTimeoutSeconds", "dataTimeoutSeconds", "minDataRate"),
)
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Contender:
    """A server that runs."""

    name: str
    port: int
    pid: int
    rest: Callable[[int], None]  # returns when nothing is left of the last round, which had so many messages

    @property
    def cpu(self) -> float:
        """Seconds of CPU that the process, its children and its dead children have used."""
        children: dict[int, list[int]] = {}
        seconds: dict[int, float] = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            pid = int(path.parent.name)
            children.setdefault(int(fields[1]), []).append(pid)
            seconds[pid] = sum(map(int, fields[11:15])) / _TICKS  # utime, stime, cutime, cstime: proc(5)
        total, left = 0.0, [self.pid]
        while left:
            pid = left.pop()
            total += seconds.get(pid, 0.0)
            left += children.get(pid, [])
        return total


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(check: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise SystemExit(f"not in {seconds} s: {what}")
        time.sleep(0.02)


def greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(4) == b"220 "
    except OSError:
        return False


@contextmanager
def process(name: str, port: int, command: list[str], folder: Path, rest: Callable[[int], None]) -> Iterator[Contender]:
    """Run a server of one process; what it prints goes to a file, as in production."""
    with (folder / f"{name}.log").open("wb") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(lambda: greets(port) or running.poll() is not None, f"{name} greets")
        if running.poll() is not None:
            raise SystemExit(f"{name}: {(folder / f'{name}.log').read_text()[-2000:]}")
        yield Contender(name, port, running.pid, rest)
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def nothing(messages: int) -> None:
    """Be at rest already."""


@contextmanager
def smtp_sink(folder: Path) -> Iterator[Contender]:
    port = free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []  # it will not run as root
    command = [shutil.which("smtp-sink") or "/usr/sbin/smtp-sink", *user, f"127.0.0.1:{port}", "1024"]
    with process("smtp-sink", port, command, folder, nothing) as contender:
        yield contender


@contextmanager
def stock(folder: Path) -> Iterator[Contender]:
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("stock.py")), str(port)]
    with process("aiosmtpd", port, command, folder, nothing) as contender:
        yield contender


@contextmanager
def mailport(folder: Path, kind: str) -> Iterator[Contender]:
    """Serve with everything switched on but the limits; `kind` is the route's destination."""
    port = free_port()
    name = f"Mailport {kind}"
    document = {
        "apiVersion": "mailport.dev/v1alpha1",
        "kind": "InboundSmtp",
        "metadata": {"name": "bench"},
        "spec": {
            "hostname": "mx.example.org",
            "listeners": [{"name": "smtp", "port": port}],
            "limits": dict.fromkeys(LIMITS, 0),
            "messageSize": {"advertised": 0},
            "access": {"policy": "DenyListed", "addresses": ["203.0.113.*", "2001:db8:bad::/48"]},
            "network": {"bindAddresses": ["127.0.0.1"]},
            "routes": [
                {"name": "gone", "recipients": [f"old@{DOMAIN}"], "deliver": {"refuse": {"text": "moved"}}},
                {"name": "mail", "recipients": [f"*@{DOMAIN}"], "deliver": {kind: {}}},
            ],
        },
    }
    data = folder / kind
    file = folder / f"{kind}.json"
    file.write_text(json.dumps(document))
    command = [sys.executable, "-m", "mailport", "serve", "-f", str(file), "--data", str(data)]
    command += ["--admin", f"127.0.0.1:{free_port()}"]
    with process(name, port, command, folder, partial(empty, data) if kind == "maildir" else nothing) as contender:
        yield contender


def empty(data: Path, messages: int) -> None:
    """Remove the messages, as Postfix's queue manager removes its own; the mailboxes stay."""
    there = list(data.glob("mail/*/*/*/new/*"))
    if len(there) != messages:
        raise SystemExit(f"{messages} were sent, and {len(there)} are there")
    for message in there:
        message.unlink()


_MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/lib
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
myhostname = mx.example.org
mydestination = {domain}
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
local_recipient_maps =
local_transport = discard:
smtpd_client_connection_count_limit = 0
smtpd_recipient_restrictions = reject_unauth_destination
message_size_limit = 0
in_flow_delay = 0
"""
_MASTER_CF = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup   unix n - n -    0 cleanup
qmgr      unix n - n 300  1 qmgr
rewrite   unix - - n -    - trivial-rewrite
bounce    unix - - n -    0 bounce
defer     unix - - n -    0 bounce
trace     unix - - n -    0 bounce
verify    unix - - n -    1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n -    - proxymap
showq     unix n - n -    - showq
error     unix - - n -    - error
retry     unix - - n -    - error
discard   unix - - n -    - discard
anvil     unix - - n -    1 anvil
scache    unix - - n -    1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


@contextmanager
def postfix(parent: Path) -> Iterator[Contender]:
    """Run an instance of its own, which queues durably and then discards: what counts is acceptance and the queue.

    `in_flow_delay` is off: it holds senders back while deliveries lag behind, and deliveries are not the subject.
    """
    port = free_port()
    folder = parent / "postfix"
    for name in ("conf", "spool", "lib"):
        (folder / name).mkdir(parents=True)
    shutil.chown(folder / "lib", "postfix")
    (folder / "conf/main.cf").write_text(_MAIN_CF.format(folder=folder, domain=DOMAIN))
    (folder / "conf/master.cf").write_text(_MASTER_CF.format(port=port))
    control = [shutil.which("postfix") or "/usr/sbin/postfix", "-c", str(folder / "conf")]
    started = subprocess.run([*control, "start"], check=False, capture_output=True, text=True)
    if started.returncode:
        log = folder / "maillog"
        raise SystemExit(f"postfix: {started.stderr}{log.read_text()[-2000:] if log.exists() else ''}")

    def at_rest() -> bool:
        queues = ("maildrop", "incoming", "active", "deferred")
        return not any(path.is_file() for queue in queues for path in (folder / "spool" / queue).rglob("*"))

    try:
        until(lambda: greets(port), "Postfix greets")
        pid = int((folder / "spool/pid/master.pid").read_text())
        yield Contender("Postfix", port, pid, lambda _: until(at_rest, "Postfix's queue is empty", 60))
    finally:
        subprocess.run([*control, "stop"], check=False, capture_output=True)


STARTS: dict[str, Callable[[Path], AbstractContextManager[Contender]]] = {
    "smtp-sink": smtp_sink,
    "aiosmtpd": stock,
    "Postfix": postfix,
    "discard": partial(mailport, kind="discard"),
    "maildir": partial(mailport, kind="maildir"),
}


@contextmanager
def contenders(folder: Path, names: Collection[str]) -> Iterator[list[Contender]]:
    """Run them all at once: one that has nothing to do costs nothing. Postfix's master will run as root only."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(start(folder))
            for name, start in STARTS.items()
            if name in names and (name != "Postfix" or os.geteuid() == 0)
        ]
