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
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.disks import disk_on_a_file
from tests.ports import free_port

SESSIONS = 20
DOMAIN = "example.org"
START_SECONDS = 60
VOLUME_MEBIBYTES = 2048
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
    beside: tuple[int, ...] = ()  # other processes of it

    @property
    def cpu(self) -> float:
        """Seconds of CPU that its processes, their children and their dead children have used."""
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
        total, left = 0.0, [self.pid, *self.beside]
        while left:
            pid = left.pop()
            total += seconds.get(pid, 0.0)
            left += children.get(pid, [])
        return total

    @property
    def memory(self) -> int:
        """Octets of memory that the process had at most so far (VmHWM: proc_pid_status(5))."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024


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


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def process(
    name: str,
    port: int,
    command: list[str],
    folder: Path,
    rest: Callable[[int], None],
    *,
    ready: Callable[[int], bool] = greets,
    python_path: str = "",
) -> Iterator[Contender]:
    """Run a server of one process; what it prints goes to a file, as in production. `ready` tells of a port."""
    environment = os.environ | ({"PYTHONPATH": python_path} if python_path else {})
    with (folder / f"{name}.log").open("wb") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        until(lambda: ready(port) or running.poll() is not None, f"{name} is ready")
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


@cache
def built(program: str) -> str:
    """Return where one of our own programs in Go is: tools/kube.sh builds it."""
    where = [str(Path(__file__).parents[2] / "tools/kube.sh"), "--where", program]
    found = subprocess.run(where, check=False, capture_output=True, text=True)
    if found.returncode:
        raise SystemExit(f"{program} has not been built: tools/kube.sh {program}")
    return found.stdout.strip()


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
def go_smtp(folder: Path, certificate: Certificate | None = None) -> Iterator[Contender]:
    port = free_port()
    command = [built("go-smtp-sink"), f"-address=127.0.0.1:{port}"]
    if certificate is not None:
        command += [f"-cert={certificate.chain}", f"-key={certificate.key}"]
    with process("go-smtp", port, command, folder, nothing) as contender:
        yield contender


@contextmanager
def stock(folder: Path) -> Iterator[Contender]:
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("stock.py")), str(port)]
    with process("aiosmtpd", port, command, folder, nothing) as contender:
        yield contender


_compiled = ""  # the folder of the compiled build, where that is measured


def use_compiled() -> None:
    """Measure this version compiled, as it is in the image."""
    global _compiled  # noqa: PLW0603
    script = Path(__file__).parents[2] / "tools/compiled.sh"
    _compiled = subprocess.run(script, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


_volumes = False


def use_volumes(use: bool) -> None:
    """Give each durable server that is started from now on a volume of its own, or leave it on TMPDIR's disk."""
    global _volumes  # noqa: PLW0603
    _volumes = use


def volume(folder: Path) -> AbstractContextManager[object]:
    """Make a folder: a file system of its own, as a claim on a block device is, or one of this machine's.

    It is ext4 on a file of this machine's disk, which a flush of the file system flushes, too.
    """
    if _volumes:
        return disk_on_a_file(folder, "ext4", VOLUME_MEBIBYTES, holes=False)
    folder.mkdir()
    return nullcontext()


@contextmanager
def mailport(
    folder: Path, kind: str, certificate: Certificate | None = None, checkout: Path | None = None
) -> Iterator[Contender]:
    """Serve with everything switched on but the limits; `kind` is the route's destination.

    `checkout` is another version's folder, with a .venv of its own, to be measured beside this one.
    """
    name = f"Mailport {kind}{' before' if checkout else ''}"
    spec: dict[str, Any] = {
        "access": {"policy": "DenyListed", "addresses": ["203.0.113.*", "2001:db8:bad::/48"]},
        "routes": [
            {"name": "gone", "recipients": [f"old@{DOMAIN}"], "deliver": {"refuse": {"text": "moved"}}},
            {"name": "mail", "recipients": [f"*@{DOMAIN}"], "deliver": {kind: {}}, "maxConcurrent": 10_000},
        ],
    }
    options: list[str] = []
    if certificate is not None:
        spec["tls"] = {"certificateRefs": [{"name": certificate.folder.name}]}
        options = ["--secrets", str(certificate.folder.parent)]
    with ExitStack() as stack:
        rest = nothing
        if kind == "maildir":
            data = folder / _file_name(name)
            stack.enter_context(volume(data))
            rest = partial(empty, data)
        yield stack.enter_context(serving(folder, name, spec, *options, rest=rest, checkout=checkout))


@contextmanager
def serving(
    folder: Path,
    name: str,
    spec: dict[str, Any],
    *options: str,
    listener: dict[str, Any] | None = None,
    ready: Callable[[int], bool] = greets,
    rest: Callable[[int], None] = nothing,
    checkout: Path | None = None,
) -> Iterator[Contender]:
    """Serve a document without limits. `spec` and `listener` are what it has besides; the log is `<name>.log`."""
    port = free_port()
    document = {
        "apiVersion": "mailport.dev/v1alpha1",
        "kind": "InboundSmtp",
        "metadata": {"name": "bench"},
        "spec": {
            "hostname": "mx.example.org",
            "listeners": [{"name": "smtp", "port": port, **(listener or {})}],
            "limits": dict.fromkeys(LIMITS, 0),
            "messageSize": {"advertised": 0},
            "network": {"bindAddresses": ["127.0.0.1"]},
            **spec,
        },
    }
    data = folder / _file_name(name)
    file = data.with_suffix(".json")
    file.write_text(json.dumps(document))
    python = str(checkout / ".venv/bin/python") if checkout else sys.executable
    command = [python, "-m", "mailport", "serve", "-f", str(file), "--data", str(data), *options]
    command += ["--admin", f"127.0.0.1:{free_port()}"]
    path = "" if checkout else _compiled
    with process(name, port, command, folder, rest, ready=ready, python_path=path) as contender:
        yield contender


def _file_name(name: str) -> str:
    return name.replace(" ", "-")


def empty(data: Path, messages: int) -> None:
    """Give the next round a fresh folder: on a disk with `discard`, removing files would slow it down."""
    there = len(list(data.glob("mail/*/*/*/new/*")))
    if there != messages:
        raise SystemExit(f"{messages} were sent, and {there} are there")
    old = (data / "mail").rename(data / f"mail-{time.monotonic_ns()}")
    if data.is_mount():  # it is small, and mounted without `discard`
        shutil.rmtree(old)


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
{more}"""
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
tlsmgr    unix - - n 1000? 1 tlsmgr
postlog   unix-dgram n - n - 1 postlogd
"""


@contextmanager
def postfix(
    parent: Path, certificate: Certificate | None = None, *, more: str = "", ready: Callable[[int], bool] = greets
) -> Iterator[Contender]:
    """Run an instance of its own, which queues durably and then discards: what counts is acceptance and the queue.

    `in_flow_delay` is off: it holds senders back while deliveries lag behind, and deliveries are not the subject.
    `more` are lines of main.cf; `ready` tells of a port that it is served.
    """
    folder = parent / "postfix"
    if certificate is not None:
        more += f"smtpd_tls_security_level = may\nsmtpd_tls_chain_files = {certificate.key}, {certificate.chain}\n"
    with ExitStack() as stack:
        stack.enter_context(volume(folder))
        yield stack.enter_context(_postfix(folder, more, ready))


@contextmanager
def _postfix(folder: Path, more: str, ready: Callable[[int], bool]) -> Iterator[Contender]:
    port = free_port()
    for name in ("conf", "spool", "lib"):
        (folder / name).mkdir()
    shutil.chown(folder / "lib", "postfix")
    (folder / "conf/main.cf").write_text(_MAIN_CF.format(folder=folder, domain=DOMAIN, more=more))
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
        until(lambda: ready(port), "Postfix greets")
        pid = int((folder / "spool/pid/master.pid").read_text())
        yield Contender("Postfix", port, pid, lambda _: until(at_rest, "Postfix's queue is empty", 60))
    finally:
        subprocess.run([*control, "stop"], check=False, capture_output=True)


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate, in a folder as a kubernetes.io/tls Secret is mounted."""

    folder: Path

    @property
    def chain(self) -> Path:
        return self.folder / "tls.crt"

    @property
    def key(self) -> Path:
        return self.folder / "tls.key"

    @classmethod
    def made(cls, parent: Path, kind: str) -> Certificate:
        """Make one with a key of this kind: RSA (2048 bits) or ECDSA (P-256)."""
        made = cls(parent / "secrets" / kind.lower())
        made.folder.mkdir(parents=True)
        option = {"RSA": ["-newkey", "rsa:2048"], "ECDSA": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]}
        command = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=mx.example.org", *option[kind]]
        command += ["-keyout", str(made.key), "-out", str(made.chain)]
        subprocess.run(command, check=True, capture_output=True)
        return made


STARTS: dict[str, Callable[..., AbstractContextManager[Contender]]] = {
    "smtp-sink": smtp_sink,
    "go-smtp": go_smtp,
    "aiosmtpd": stock,
    "Postfix": postfix,
    "discard": partial(mailport, kind="discard"),
    "maildir": partial(mailport, kind="maildir"),
}


WITHOUT_TLS = frozenset(("smtp-sink", "aiosmtpd"))


@contextmanager
def contenders(
    folder: Path, names: Collection[str], key: str = "", before: Path | None = None
) -> Iterator[list[Contender]]:
    """Run them all at once: one that has nothing to do costs nothing. Postfix's master will run as root only.

    With a `key` those that speak TLS have a certificate of that kind. `before` is an earlier version's checkout.
    """
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)  # Postfix's processes are of several users
    tls = {"certificate": Certificate.made(folder, key)} if key else {}
    with ExitStack() as stack:
        started = []
        for name, start in STARTS.items():
            if name not in names or (name == "Postfix" and os.geteuid() != 0) or (key and name in WITHOUT_TLS):
                continue
            started.append(stack.enter_context(start(folder, **tls)))
            if before is not None and name in {"discard", "maildir"}:
                started.append(stack.enter_context(start(folder, checkout=before, **tls)))
        yield started
