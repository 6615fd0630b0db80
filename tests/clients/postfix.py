"""A Postfix of the tests' own, as the server that sends: its configuration, queue and processes end with the `with`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.serving import HOSTNAME, eventually

SENDER = "bob@sender.example.com"

_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = sender.example.com
inet_interfaces = loopback-only
disable_dns_lookups = yes
mydestination =
alias_maps =
default_transport = discard
transport_maps = inline:{{ {{example.org=smtp:[127.0.0.1]:{port}}}, {{tls.example.org=verified:[127.0.0.1]:{port}}} }}
message_size_limit = 40000000
mailbox_size_limit = 0
smtputf8_enable = yes
smtp_tls_security_level = none
smtp_tls_loglevel = 1
smtp_tls_CAfile = {folder}/ca.pem
smtp_tls_secure_cert_match = {hostname}
debug_peer_list = 127.0.0.1
debug_peer_level = 1
"""

# No service that listens to the network.
_MASTER = """
pickup    unix       n - n 60    1 pickup
cleanup   unix       n - n -     0 cleanup
qmgr      unix       n - n 300   1 qmgr
tlsmgr    unix       - - n 1000? 1 tlsmgr
rewrite   unix       - - n -     - trivial-rewrite
bounce    unix       - - n -     0 bounce
defer     unix       - - n -     0 bounce
trace     unix       - - n -     0 bounce
flush     unix       n - n 1000? 0 flush
proxymap  unix       - - n -     - proxymap
smtp      unix       - - n -     - smtp
verified  unix       - - n -     - smtp -o smtp_tls_security_level=secure
showq     unix       n - n -     - showq
error     unix       - - n -     - error
retry     unix       - - n -     - error
discard   unix       - - n -     - discard
scache    unix       - - n -     1 scache
postlog   unix-dgram n - n -     1 postlogd
"""


class Postfix:
    """A running instance, whose next hop is the gateway: in clear for example.org, verified TLS for tls.example.org."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def submit(self, message: bytes, *recipients: str) -> str:
        """Put a message into the queue; return its queue ID."""
        known = set(self._queue_ids())
        subprocess.run(
            ["sendmail", "-C", self.folder, "-i", "-f", SENDER, "--", *recipients],
            input=message,
            check=True,
            timeout=30,
            env={"MAIL_CONFIG": str(self.folder), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        new = eventually(lambda: [one for one in self._queue_ids() if one not in known], "the message in the log")
        return str(new[0])

    def _queue_ids(self) -> list[str]:
        return re.findall(r"postfix/pickup\[\d+\]: (\w+): uid=", self.log())

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def outcomes(self, queue_id: str) -> list[tuple[str, str, str]]:
        """Return (recipient, status, reason) of every attempt so far."""
        return re.findall(rf"{queue_id}: to=<([^>]*)>,.* status=(\w+) \((.*)\)", self.log())

    def outcome(self, queue_id: str, recipient: str, status: str) -> str:
        """Wait for an attempt that ends like this; return the reason."""

        def found() -> str | None:
            return next((why for to, how, why in self.outcomes(queue_id) if (to, how) == (recipient, status)), None)

        return str(eventually(found, f"{recipient} {status}: {self.log()[-2000:]}"))

    def queued(self) -> list[dict[str, Any]]:
        """Return what is still in the queue."""
        shown = subprocess.run(
            ["postqueue", "-c", self.folder, "-j"], stdout=subprocess.PIPE, check=True, timeout=30
        ).stdout
        return [json.loads(line) for line in shown.splitlines()]

    def flush(self) -> None:
        """Try again now what waits to be tried again."""
        subprocess.run(["postqueue", "-c", self.folder, "-f"], check=True, timeout=30)

    def conversation(self, marker: str) -> list[str]:
        """Return what was said in the last session that mentions this, each line with `<` or `>` in front."""
        sessions = re.split(r": < \S+: 220 ", self.log())
        (*_, session) = (one for one in sessions if marker in one)
        return [f"{way} {text}" for way, text in re.findall(r"postfix/\w+\[\d+\]: ([<>]) \S+: (.*)", session)]


@contextmanager
def postfix(port: int, ca: Path) -> Iterator[Postfix]:
    """Start an instance that sends to this port of loopback. Needs root."""
    # Not in pytest's folder: only root may enter that, and its path may be too long for the sockets.
    folder = Path(tempfile.mkdtemp(prefix="mailport-"))
    try:
        folder.chmod(0o755)
        (folder / "queue").mkdir()
        (folder / "data").mkdir()
        shutil.chown(folder / "data", "postfix")
        shutil.copy(ca, folder / "ca.pem")
        (folder / "main.cf").write_text(_MAIN.format(folder=folder, port=port, hostname=HOSTNAME))
        (folder / "master.cf").write_text(_MASTER)
        _control(folder, "start")
        try:
            yield Postfix(folder)
        finally:
            if _control(folder, "stop", check=False):
                _control(folder, "abort")
    finally:
        shutil.rmtree(folder)


def _control(folder: Path, what: str, *, check: bool = True) -> int:
    return subprocess.run(
        ["postfix", "-c", folder, what],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=check,
        timeout=60,
    ).returncode
