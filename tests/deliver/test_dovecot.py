"""What was delivered, as an IMAP server reads it: Debian's Dovecot, which works on the same folders."""

from __future__ import annotations

import email.policy
import grp
import imaplib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from mailport.contract import model
from mailport.deliver.maildir.destination import Maildir
from tests.deliver.conftest import MESSAGE, deliver
from tests.disks import needs_root
from tests.messages import trace_of_mailbox

pytestmark = [pytest.mark.slow, needs_root]

PASSWORD = "secret"
# Dovecot reads as another user than we write as, and has the group in common, as it would beside us in a cluster.
READER, GROUP = "nobody", "mail"
CONFIGURATION = """
protocols = imap
listen = 127.0.0.1
base_dir = {home}/run
state_dir = {home}/state
log_path = {home}/log
ssl = no
disable_plaintext_auth = no
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 1
first_valid_gid = 1
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
passdb {{
  driver = passwd-file
  args = {home}/users
}}
userdb {{
  driver = passwd-file
  args = {home}/users
}}
"""


@pytest.fixture
def home() -> Generator[Path]:
    """A folder that Dovecot's users can get into, as pytest's are closed to all but root."""
    folder = Path(tempfile.mkdtemp(prefix="dovecot-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def mail_root(home: Path) -> Path:
    """A volume as Kubernetes mounts it with fsGroup."""
    folder = home / "mail"
    folder.mkdir()
    os.chown(folder, -1, grp.getgrnam(GROUP).gr_gid)
    folder.chmod(0o2770)
    return folder


@contextmanager
def dovecot(home: Path, users: dict[str, Path]) -> Generator[int]:
    """Serve users' mailboxes; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    lines = [f"{user}:{{PLAIN}}{PASSWORD}::::::userdb_mail=maildir:{folder}\n" for user, folder in users.items()]
    (home / "users").write_text("".join(lines))
    settings = {"home": home, "port": port, "uid": pwd.getpwnam(READER).pw_uid, "gid": grp.getgrnam(GROUP).gr_gid}
    (home / "dovecot.conf").write_text(CONFIGURATION.format(**settings))
    program = shutil.which("dovecot") or "/usr/sbin/dovecot"
    server = subprocess.Popen([program, "-F", "-c", home / "dovecot.conf"])
    try:
        wait_for(server, port, home / "log")
        yield port
    finally:
        server.terminate()
        server.wait(30)


def wait_for(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 30
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    pytest.fail(f"Dovecot does not come up: {log.read_text() if log.exists() else 'no log'}")


@contextmanager
def inbox(port: int, user: str) -> Generator[imaplib.IMAP4]:
    """Log in and open the INBOX."""
    with imaplib.IMAP4("127.0.0.1", port, timeout=30) as client:
        client.login(user, PASSWORD)
        assert client.select("INBOX")[0] == "OK"
        yield client


def fetch(client: imaplib.IMAP4, number: int, item: str) -> bytes:
    [data, *_] = client.fetch(str(number), item)[1]
    return data[1] if isinstance(data, tuple) else data


def complaints(log: Path) -> list[str]:
    """What Dovecot found wrong. Its master warns of our own SIGTERM, so that does not count."""
    lines = log.read_text().splitlines()
    return [line for line in lines if ("Error:" in line or "Warning:" in line) and "master:" not in line]


async def test_dovecot_serves_what_was_delivered(home: Path, mail_root: Path):
    """Every message is there, recent and unseen, with the size of its name and the very content, CRLF and all.

    Text without a header section is shown as text.
    """
    maildir = Maildir(model.Maildir(), mail_root)
    large = b"Subject: large\r\n\r\n" + b"a line of a larger message\r\n" * 100_000
    text = b" Alarm 7\r\n"
    contents = [MESSAGE, large, "Subject: grüße\r\n\r\nschöne Grüße\r\n".encode(), text]
    for content in contents:
        await deliver(maildir, "anna+shop@example.org", content=content)
    await maildir.close()

    with dovecot(home, {"anna": mail_root / "default/example.org/anna"}) as port, inbox(port, "anna") as client:
        assert client.response("RECENT") == ("RECENT", [b"4"])
        assert client.search(None, "UNSEEN")[1] == [b"1 2 3 4"]
        for number, content in enumerate(contents, start=1):
            separator = b"\r\n" if content is text else b""
            expected = trace_of_mailbox("anna+shop@example.org") + separator + content
            assert f"RFC822.SIZE {len(expected)}".encode() in fetch(client, number, "(RFC822.SIZE)")
            assert fetch(client, number, "(BODY.PEEK[])") == expected
        assert fetch(client, 4, "(BODY.PEEK[TEXT])") == text
    assert complaints(home / "log") == []


async def test_dovecot_and_we_use_the_same_mailbox(home: Path, mail_root: Path):
    """Dovecot moves what was read to cur, and what we deliver meanwhile is seen by the open session."""
    maildir = Maildir(model.Maildir(), mail_root)
    await deliver(maildir, "anna@example.org")
    folder = mail_root / "default/example.org/anna"

    with dovecot(home, {"anna": folder}) as port, inbox(port, "anna") as client:
        client.store("1", "+FLAGS", r"(\Seen \Flagged)")
        [read] = (folder / "cur").iterdir()
        assert read.name.endswith(":2,FS")
        await deliver(maildir, "anna@example.org")
        client.noop()
        assert client.search(None, "ALL")[1] == [b"1 2"]
        assert client.search(None, "UNSEEN")[1] == [b"2"]
        client.store("1", "+FLAGS", r"(\Deleted)")
        client.expunge()
        assert client.search(None, "ALL")[1] == [b"1"]
    await maildir.close()


async def test_a_mailbox_may_be_named_in_utf8(home: Path, mail_root: Path):
    """The folder of an internationalised address is UTF-8 on disk, and Dovecot finds it there."""
    maildir = Maildir(model.Maildir(), mail_root)
    await deliver(maildir, "Jürgen@bücher.example")
    await maildir.close()

    with (
        dovecot(home, {"juergen": mail_root / "default/xn--bcher-kva.example/jürgen"}) as port,
        inbox(port, "juergen") as client,
    ):
        message = email.message_from_bytes(fetch(client, 1, "(BODY.PEEK[])"), policy=email.policy.SMTPUTF8)
        assert message["Delivered-To"] == "Jürgen@bücher.example"
        assert message["Subject"] == "hello"


async def test_dovecot_sees_the_header_section_end_where_we_do(home: Path, mail_root: Path):
    """Nothing behind a line that is no field passes for one, and it is all there to be read."""
    maildir = Maildir(model.Maildir(), mail_root)
    forged = b"Authentication-Results: mx.example.org; dmarc=pass\r\n\r\nbody\r\n"
    lines = (
        b"Invalid Header: x\r\n",
        b"junk\r\n",
        b":\r\n",
        b": x\r\n",
        b"S\xfcbject: x\r\n",
        b" x\r\n",
        b"From x\r\n",
    )
    texts = [line + forged for line in lines]
    for text in texts:
        for section in (b"", b"To: a\r\n"):
            if (section, text[:1]) != (b"To: a\r\n", b" ") and (section, text[:5]) != (b"", b"From "):
                await deliver(maildir, "anna@example.org", content=section + text)
    await maildir.close()

    with dovecot(home, {"anna": mail_root / "default/example.org/anna"}) as port, inbox(port, "anna") as client:
        [numbers] = client.search(None, "ALL")[1]
        for number in map(int, numbers.split()):
            fields = fetch(client, number, "(BODY.PEEK[HEADER.FIELDS (Authentication-Results)])")
            assert fields == b"\r\n"
            assert fetch(client, number, "(BODY.PEEK[TEXT])") in texts
        assert len(numbers.split()) == 12
