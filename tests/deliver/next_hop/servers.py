"""Real next hops: Debian's Dovecot by LMTP, and Debian's Postfix by SMTP. Each ends with its `with`. Needs root."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.certificates import Issued
from tests.serving import eventually, free_port

NAME = "next.example.org"  # the servers', which their certificate has
AUTHORITY = Issued([], common_name="the tests' authority")
CERTIFICATE = Issued([NAME], common_name=NAME, issuer=AUTHORITY)
USER, PASSWORD = "mailport", "correct horse"
STARTS_WITHIN = 60  # seconds: a bound to fail at

_DOVECOT = """
protocols = {protocols}
listen = {address}
base_dir = {home}/run
state_dir = {home}/state
log_path = {home}/log
ssl = yes
ssl_cert = <{home}/certificate
ssl_key = <{home}/key
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:{home}/mail/%n
auth_username_format = %n
auth_mechanisms = plain login
mail_plugins = quota
plugin {{
  quota = count:User quota
  quota_vsizes = yes
  quota_rule = *:storage=20G
  quota_full_tempfail = yes
}}
quota_full_tempfail = yes
userdb {{
  driver = passwd-file
  args = {home}/users
}}
passdb {{
  driver = passwd-file
  args = {home}/users
}}
service anvil {{
  chroot =
}}
"""
_DOVECOT_LMTP = """
service lmtp {{
  chroot =
  inet_listener lmtp {{
    port = {lmtp}
  }}
  inet_listener lmtps {{
    port = {lmtps}
    ssl = yes
  }}
}}
"""
_DOVECOT_AUTH = """
service auth {{
  unix_listener {home}/auth {{
    mode = 0666
  }}
}}
"""
# `full` is over its quota from the first message on, and the sender is to try again; `never`: it is not to
_DOVECOT_USERS = f"""\
anna:::::::
carl:::::::
full:::::::userdb_quota_rule=*:bytes=10
never:::::::userdb_quota_rule=*:bytes=10 userdb_quota_full_tempfail=no
{USER}:{{PLAIN}}{PASSWORD}::::::
"""

_POSTFIX = """
compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
mail_owner = postfix
setgid_group = postdrop
maillog_file = {home}/log
maillog_file_prefixes = {home}
myhostname = {name}
inet_interfaces = {address}
disable_dns_lookups = yes
mydestination =
alias_maps =
message_size_limit = 209715200
mailbox_size_limit = 0
virtual_mailbox_limit = 0
smtputf8_enable = yes
smtpd_forbid_bare_newline = no
smtpd_peername_lookup = no
notify_classes =
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
transport_retry_time = 1s
service_throttle_time = 1s
smtpd_client_connection_count_limit = 0
smtpd_recipient_restrictions = reject_unauth_destination
smtpd_end_of_data_restrictions = check_recipient_access
    inline:{{ {{later@=450 4.2.0 later}}, {{never@=550 5.7.0 never}} }}
smtpd_tls_chain_files = {home}/key, {home}/certificate
smtpd_tls_auth_only = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {auth}/auth
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {home}/mail
virtual_mailbox_maps = inline:{{ {mailboxes} }}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_transport = virtual
"""
_POSTFIX_DOMAINS = ("example.org", "first.example.org", "second.example.org")  # whose mailboxes are the same
_POSTFIX_MAILBOXES = ("anna", "carl", "full", "later", "never", "jürgen")
# By the name of its port, what an smtpd has of its own
_WITH_LOGIN = "-o smtpd_sasl_auth_enable=yes -o smtpd_relay_restrictions=permit_sasl_authenticated,reject"
_POSTFIX_PORTS = {
    "smtp": "",
    "data": "-o smtpd_discard_ehlo_keywords=chunking,silent-discard",
    "bare": "-o smtpd_discard_ehlo_keywords=chunking,pipelining,size,8bitmime,smtputf8,silent-discard",
    "small": "-o message_size_limit=10000",
    "no-space": "-o message_size_limit=1000000000000000",  # of which there has to be half as much again on the disk
    "starttls": "-o smtpd_tls_security_level=may",
    "submission": f"-o smtpd_tls_security_level=encrypt {_WITH_LOGIN}",
    "submissions": f"-o smtpd_tls_wrappermode=yes {_WITH_LOGIN}",
    "login": f"-o smtpd_tls_wrappermode=yes -o smtpd_sasl_mechanism_filter=login {_WITH_LOGIN}",
}
_POSTFIX_SERVICES = """
cleanup   unix       n - n -     0 cleanup
qmgr      unix       n - n 300   1 qmgr
tlsmgr    unix       - - n 1000? 1 tlsmgr
rewrite   unix       - - n -     - trivial-rewrite
bounce    unix       - - n -     0 bounce
defer     unix       - - n -     0 bounce
trace     unix       - - n -     0 bounce
proxymap  unix       - - n -     - proxymap
anvil     unix       - - n -     1 anvil
showq     unix       n - n -     - showq
error     unix       - - n -     - error
retry     unix       - - n -     - error
discard   unix       - - n -     - discard
virtual   unix       - n n -     - virtual
postlog   unix-dgram n - n -     1 postlogd
"""


@dataclass
class NextHopServer:
    """A server with the mailboxes anna and carl at example.org, that can be stopped, killed and started again."""

    home: Path
    ports: dict[str, int]  # by what is to be had there
    command: list[str]
    address: str = "127.0.0.1"
    process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """The first: in clear."""
        return next(iter(self.ports.values()))

    def start(self) -> None:
        """Start, and wait until it answers, where it does in clear.

        Again, where it ends at once: of those killed before it, one may be in the disk's hands and hold the port.
        """
        try:
            eventually(self._try_to_start, "a greeting", STARTS_WITHIN)
        except AssertionError as error:
            error.add_note(f"{self.command}: {self.log()[-2000:]}")
            raise

    def _try_to_start(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            quiet = subprocess.DEVNULL
            self.process = subprocess.Popen(
                self.command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
            )
        return not self.ports or _answers(self.address, self.port)

    def stop(self) -> None:
        """Tell it to stop, and wait until it has."""
        assert self.process is not None
        self.process.terminate()
        try:
            self.process.wait(30)
        finally:
            self.kill()

    def kill(self) -> None:
        """End all of its processes at once, and wait until they are gone: one in the disk's hands keeps its locks."""
        assert self.process is not None
        group = self.process.pid
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        self.process.wait(30)
        eventually(lambda: not _is_running(group), f"an end of the processes of {self.command[0]}", STARTS_WITHIN)

    def messages(self, name: str) -> list[bytes]:
        """Return what lies in a mailbox, with CRLF, oldest first."""
        paths = sorted((self.home / "mail" / name / "new").glob("*"), key=lambda path: path.stat().st_mtime_ns)
        return [path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for path in paths]

    def arrived(self, name: str, marker: bytes) -> list[bytes]:
        """Wait for what has this in it: Postfix has it in its queue first."""
        return list(eventually(lambda: [one for one in self.messages(name) if marker in one], f"{marker!r} at {name}"))

    def queued(self) -> int:
        """How many messages Postfix has not delivered yet: whole ones, which are executable for their owner.

        Looked for in the order in which they move, so that none is missed on its way, and at most counted twice.
        """
        queues = (self.home / "queue" / queue for queue in ("deferred", "incoming", "active", "deferred"))
        return sum(_is_whole(path) for queue in queues for path in queue.rglob("*"))

    def log(self) -> str:
        return (self.home / "log").read_text(errors="replace")


def taken_as(message: bytes) -> bytes:
    """Return the ID that a server gave a message when it took it."""
    found = re.search(rb"^Received: .*?\bid (\S+)", message, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def _home(prefix: str, address: str = "127.0.0.1") -> tuple[Path, dict[str, object]]:
    """Make a folder that the servers' users can get into, as pytest's are closed to all but root."""
    home = Path(tempfile.mkdtemp(prefix=prefix))
    home.chmod(0o755)
    nobody = pwd.getpwnam("nobody")
    (home / "mail").mkdir()
    os.chown(home / "mail", nobody.pw_uid, nobody.pw_gid)
    (home / "certificate").write_bytes(CERTIFICATE.pem)
    (home / "key").write_bytes(CERTIFICATE.key_pem())
    (home / "key").chmod(0o600)
    return home, {"home": home, "uid": nobody.pw_uid, "gid": nobody.pw_gid, "name": NAME, "address": address}


def _is_running(group: int) -> bool:
    """Whether a process of this group is there, and has not ended."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                state, _, of = (folder / "stat").read_text().rpartition(") ")[2].split()[:3]
                if int(of) == group and state not in "ZX":
                    return True
    return False


def _is_whole(path: Path) -> bool:
    with suppress(FileNotFoundError):
        found = path.stat().st_mode
        return stat.S_ISREG(found) and bool(found & stat.S_IXUSR)
    return False


def _answers(address: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((address, port), 1) as client:
        return client.recv(3) == b"220"
    return False


@contextmanager
def _running(server: NextHopServer) -> Iterator[NextHopServer]:
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(server.home, ignore_errors=True)


@contextmanager
def dovecot(*more: str, quota: bool = True, address: str = "127.0.0.1") -> Iterator[NextHopServer]:
    """Take mail by LMTP for anna and carl, and for full and never, who have no room; for `more`, too.

    STARTTLS is offered. Without `quota` all have room.
    """
    home, facts = _home("dovecot-", address)
    ports = {"lmtp": free_port(), "lmtps": free_port()}
    (home / "users").write_text(_DOVECOT_USERS + "".join(f"{name}:::::::\n" for name in more))
    settings = (_DOVECOT + _DOVECOT_LMTP).format(protocols="lmtp", **facts, **ports)
    settings = settings if quota else settings.replace("mail_plugins = quota", "")
    (home / "dovecot.conf").write_text(settings)
    with _running(NextHopServer(home, ports, [_dovecot(), "-F", "-c", str(home / "dovecot.conf")], address)) as server:
        yield server


@contextmanager
def _logins() -> Iterator[Path]:
    """Run Dovecot's login service alone, which Postfix asks for passwords."""
    home, facts = _home("dovecot-auth-")
    (home / "users").write_text(_DOVECOT_USERS)
    (home / "dovecot.conf").write_text((_DOVECOT + _DOVECOT_AUTH).format(protocols="none", **facts))
    with _running(NextHopServer(home, {}, [_dovecot(), "-F", "-c", str(home / "dovecot.conf")])):
        eventually((home / "auth").is_socket, "Dovecot's socket")
        yield home


def _dovecot() -> str:
    return shutil.which("dovecot") or "/usr/sbin/dovecot"


def _postfix_setting(name: str) -> str:
    return subprocess.run(
        ["postconf", "-dh", name], check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()


@contextmanager
def postfix(*more: str, address: str = "127.0.0.1") -> Iterator[NextHopServer]:
    """Take mail by SMTP for anna, carl and full, and for `more`; later is put off after the content, never refused."""
    home, facts = _home("postfix-", address)
    ports = {name: free_port() for name in _POSTFIX_PORTS}
    (home / "queue").mkdir()
    (home / "data").mkdir()
    shutil.chown(home / "data", "postfix")
    mailboxes = [f"{{{name}@{domain}={name}/}}" for name in (*_POSTFIX_MAILBOXES, *more) for domain in _POSTFIX_DOMAINS]
    facts |= {"mailboxes": ", ".join(mailboxes), "domains": ", ".join(_POSTFIX_DOMAINS)}
    services = [f"{address}:{ports[name]} inet n - n - - smtpd {own}" for name, own in _POSTFIX_PORTS.items()]
    (home / "master.cf").write_text("\n".join(services) + _POSTFIX_SERVICES)
    with _logins() as logins:
        (home / "main.cf").write_text(_POSTFIX.format(**facts, auth=logins))
        subprocess.run(["postfix", "-c", home, "check"], check=True, timeout=60)  # makes the folders
        # In the foreground, so that all of its processes are one group: `postfix start-fg` makes a session of its own
        command = [f"{_postfix_setting('daemon_directory')}/master", "-c", str(home), "-d"]
        with _running(NextHopServer(home, ports, command, address)) as server:
            yield server
