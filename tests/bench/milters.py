"""Postfix that asks who sent a message: OpenDKIM, pyspf-milter and OpenDMARC are its milters, with a DNS for all.

`tools/setup.sh bench` installs them. They read resolv.conf, so they run with another one in its place, in a mount
namespace; the DNS server is dnsmasq on 127.0.0.2. They verify and report, as Mailport does with `checks: {}`: nothing
is refused.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from contenders import Contender, accepts, free_port, postfix, until
from tests.authentication.zones import Zone

NAME = "Postfix with milters"
PROGRAMS = ("opendkim", "pyspf-milter", "opendmarc", "dnsmasq")
HOST, NAMESERVER, HELD = "mx.example.org", "127.0.0.2", "held@example.org"

_OPENDKIM = """\
Mode v
Socket inet:{port}@127.0.0.1
AuthservID {host}
Nameservers {nameserver}
Syslog no
"""
_PYSPF = """\
debugLevel = 0
TestOnly = 0
HELO_reject = False
Mail_From_reject = False
PermError_reject = False
TempError_Defer = False
skip_addresses = 127.0.0.0/8
Socket = inet:{port}@127.0.0.1
PidFile = {folder}/pyspf-milter.pid
UserID = root
InternalHosts = 127.0.0.1
Header_Type = AR
Authserv_Id = {host}
"""
_OPENDMARC = """\
Socket inet:{port}@127.0.0.1
AuthservID {host}
TrustedAuthservIDs {host}
RejectFailures false
SPFIgnoreResults false
SPFSelfValidate false
Syslog false
"""
_POSTFIX = """\
smtpd_milters = inet:127.0.0.1:{opendkim}, inet:127.0.0.1:{pyspf}, inet:127.0.0.1:{opendmarc}
milter_default_action = tempfail
milter_protocol = 6
smtpd_upstream_proxy_protocol = haproxy
smtpd_peername_lookup = no
smtpd_data_restrictions = check_recipient_access inline:{{{held}=HOLD}}
"""


def missing() -> list[str]:
    """What is not installed, or who we are not: Postfix and namespaces need root."""
    return [name for name in PROGRAMS if program(name) is None] + ([] if os.geteuid() == 0 else ["root"])


def program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def running(command: list[str | None], folder: Path, port: int = 0) -> Iterator[int]:
    """Run a program until the block ends, and wait for its port; its process."""
    name = Path(str(command[0] if port == 0 else command[-2])).name
    with (folder / f"{name}-{port}.log").open("wb") as log:
        process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log)
    try:
        if port:
            until(lambda: accepts(port) or process.poll() is not None, f"{command} listens")
        if process.poll() is not None:
            raise SystemExit(f"{command}: {(folder / f'{name}-{port}.log').read_text()[-2000:]}")
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def dnsmasq(zone: Zone) -> list[str | None]:
    """The command that serves a zone's A, PTR, TXT and MX records."""
    command = [
        program("dnsmasq"),
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--pid-file=",
    ]
    command += ["--user=root", "--bind-interfaces", f"--listen-address={NAMESERVER}", "--log-facility=-"]
    for name, records in zone.items():
        command.append(f"--local=/{name}/")
        for kind, value in records:
            if kind == "TXT":
                command.append(
                    f"--txt-record={name},{','.join(value[at : at + 250] for at in range(0, len(value), 250))}"
                )
            elif kind == "A":
                command.append(f"--host-record={name},{value}")
            elif kind == "PTR":
                command.append(f"--ptr-record={name},{value}")
    return command


@contextmanager
def postfix_with_milters(parent: Path, zone: Zone) -> Iterator[Contender]:
    """Run all of it; the contender's CPU is Postfix's and the milters', not the DNS server's."""
    folder = parent / "milters"
    folder.mkdir()
    resolv = folder / "resolv.conf"
    resolv.write_text(f"nameserver {NAMESERVER}\n")
    ports = {name: free_port() for name in ("opendkim", "pyspf", "opendmarc")}
    files = {"opendkim": _OPENDKIM, "pyspf": _PYSPF, "opendmarc": _OPENDMARC}
    for name, text in files.items():
        (folder / f"{name}.conf").write_text(
            text.format(port=ports[name], folder=folder, host=HOST, nameserver=NAMESERVER)
        )
    own = ["unshare", "--mount", "sh", "-c", f'mount --bind {resolv} /etc/resolv.conf && exec "$@"', "sh"]
    with ExitStack() as stack:
        stack.enter_context(running(dnsmasq(zone), folder))
        commands: dict[str, list[str | None]] = {
            "opendkim": [*own, program("opendkim"), "-f", "-x", str(folder / "opendkim.conf")],
            "pyspf": [*own, program("pyspf-milter"), str(folder / "pyspf.conf")],
            "opendmarc": [*own, program("opendmarc"), "-f", "-c", str(folder / "opendmarc.conf")],
        }
        milters = tuple(
            stack.enter_context(running(command, folder, ports[name])) for name, command in commands.items()
        )
        more = _POSTFIX.format(held=HELD, **ports)
        own_postfix = stack.enter_context(postfix(parent, more=more, ready=accepts))
        yield Contender(NAME, own_postfix.port, own_postfix.pid, own_postfix.rest, milters)


def headers_of_held(parent: Path) -> str:
    """Return the header section of the one message to HELD, once Postfix has it, and drop it."""
    folder = parent / "postfix"
    queue = folder / "spool/hold"
    deadline = time.monotonic() + 10
    while not (held := [path for path in queue.rglob("*") if path.is_file()]):
        if time.monotonic() > deadline:
            raise SystemExit(f"no message is held: {(folder / 'maillog').read_text()[-2000:]}")
        time.sleep(0.05)
    config = ["-c", str(folder / "conf")]
    read = subprocess.run(["postcat", *config, "-h", str(held[0])], check=True, capture_output=True, text=True)
    subprocess.run(["postsuper", *config, "-d", "ALL", "hold"], check=True, capture_output=True)
    return read.stdout
