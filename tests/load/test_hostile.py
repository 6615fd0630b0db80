"""Clients that are slow, rude, broken or gone: memory stays bounded, nothing is left of them, and others are served."""

from __future__ import annotations

import random
import smtplib
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.load.client import ENVELOPE, Client, client_hello, trickle
from tests.load.server import MIB, nothing_kept, others_served
from tests.serving import PASSWORD, USER, Serving, eventually, serving
from tests.tables import table

CHECKS = 2 * 19 * MIB  # two passwords are checked at once, each in the memory that its argon2id hash asks for
PROMPTLY = 2.0  # seconds: the machine is busy with the hostile clients too
SPEC: dict[str, Any] = {
    "listeners": [
        {"name": "smtp", "auth": {"mode": "Always"}},
        {"name": "smtps", "tls": {"mode": "Implicit"}},
        {"name": "proxied", "proxyProtocol": {"trustedCIDRs": ["127.0.0.0/8"]}},
    ],
    "tls": {"certificateRefs": [{"name": "tls"}]},
    "auth": {"htpasswd": {"secretRef": {"name": "users"}}},
    "limits": {"maxConnections": 0, "maxConnectionsPerClient": 0},
    "messageSize": {"advertised": 0},
    "routes": [
        {"name": "hole", "recipients": ["hole@example.org"], "deliver": {"discard": {}}},
        {"name": "mail", "recipients": ["*@example.org"], "deliver": {"maildir": {}}},
    ],
}

pytestmark = [pytest.mark.slow, pytest.mark.alone]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with serving(tmp_path, SPEC, "--scratch-limit", "2Gi") as running:  # a quarter of which holds 300 MB
        yield running


def all_at_once(clients: int, act: Callable[[int], None]) -> None:
    """Have so many clients act, each in a thread of its own; what goes wrong with one is raised here."""
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(act, range(clients)))


def plain(*said: bytes) -> Callable[[Serving], Client]:
    def begin(server: Serving) -> Client:
        client = Client(server.port)
        for data in said:
            client.say(data)
        return client

    return begin


def conversation(*lines: tuple[bytes, int]) -> Callable[[Serving], Client]:
    """Wait for each reply, so that the last thing said is where the server is when the client goes."""

    def begin(server: Serving) -> Client:
        client = Client(server.port)
        client.hear(220)
        for line, code in lines:
            client.say(line)
            if code:
                client.hear(code)
        return client

    return begin


def through_tls(*said: bytes) -> Callable[[Serving], Client]:
    def begin(server: Serving) -> Client:
        client = conversation((b"EHLO client.example\r\n", 250), (b"STARTTLS\r\n", 220))(server)
        client.start_tls()
        for data in said:
            client.say(data)
        return client

    return begin


def at(port: str, *said: bytes) -> Callable[[Serving], Client]:
    def begin(server: Serving) -> Client:
        client = Client(server.ports[port])
        for data in said:
            client.say(data)
        return client

    return begin


EHLO, MAIL = (b"EHLO client.example\r\n", 250), (b"MAIL FROM:<a@client.example>\r\n", 250)
RCPT, DATA = (b"RCPT TO:<anna@example.org>\r\n", 250), (b"DATA\r\n", 354)
MESSAGE = b"Subject: here and gone\r\n\r\n" + b"x" * 70 + b"\r\n"
LOGIN = b64encode(b"\0" + USER.encode() + b"\0" + PASSWORD.encode())

STATES = table(
    {
        "at once": plain(),
        "after the greeting": conversation(),
        "within a command": conversation((b"EHL", 0)),
        "after EHLO": conversation(EHLO),
        "after MAIL": conversation(EHLO, MAIL),
        "after RCPT": conversation(EHLO, MAIL, RCPT),
        "after RCPT, without waiting for its reply": conversation(EHLO, MAIL, (RCPT[0], 0)),
        "after DATA": conversation(EHLO, MAIL, RCPT, DATA),
        "after DATA, without waiting for its reply": conversation(EHLO, MAIL, RCPT, (DATA[0], 0)),
        "within the message": conversation(EHLO, MAIL, RCPT, DATA, (MESSAGE, 0)),
        "within a message that is on disk already": conversation(EHLO, MAIL, RCPT, DATA, (MESSAGE * 10_000, 0)),
        "within the end of the message": conversation(EHLO, MAIL, RCPT, DATA, (MESSAGE + b".\r", 0)),
        "during the commit": conversation(EHLO, MAIL, RCPT, DATA, (MESSAGE + b".\r\n", 0)),
        "during the commit of a large one": conversation(EHLO, MAIL, RCPT, DATA, (MESSAGE * 10_000 + b".\r\n", 0)),
        "everything pipelined, nothing read": plain(ENVELOPE + b"DATA\r\n" + MESSAGE + b".\r\nQUIT\r\n"),
        "within a chunk": conversation(EHLO, MAIL, RCPT, (b"BDAT 1000000\r\n" + MESSAGE, 0)),
        "between two chunks": conversation(EHLO, MAIL, RCPT, (b"BDAT %d\r\n" % len(MESSAGE) + MESSAGE, 250)),
        "during the commit of the last chunk": conversation(
            EHLO, MAIL, RCPT, (b"BDAT %d LAST\r\n" % len(MESSAGE) + MESSAGE, 0)
        ),
        "within a chunk larger than any disk": conversation(EHLO, MAIL, RCPT, (b"BDAT 99999999999999999999\r\nx", 0)),
        "after STARTTLS": conversation(EHLO, (b"STARTTLS\r\n", 220)),
        "within the handshake": conversation(EHLO, (b"STARTTLS\r\n", 220), (client_hello()[:100], 0)),
        "after its part of the handshake": conversation(EHLO, (b"STARTTLS\r\n", 220), (client_hello(), 0)),
        "after the handshake": through_tls(),
        "within a message through TLS": through_tls(ENVELOPE, b"DATA\r\n", MESSAGE * 1000),
        "during the commit, through TLS": through_tls(ENVELOPE, b"DATA\r\n", MESSAGE + b".\r\n"),
        "before the handshake of implicit TLS": at("smtps"),
        "within the handshake of implicit TLS": at("smtps", client_hello()[:100]),
        "asked for its password": conversation(EHLO, (b"AUTH PLAIN\r\n", 334)),
        "while its password is checked": conversation(EHLO, (b"AUTH PLAIN " + LOGIN + b"\r\n", 0)),
        "before the PROXY header": at("proxied"),
        "within a PROXY header of version 1": at("proxied", b"PROXY TCP4 192.0.2.1"),
        "within a PROXY header of version 2": at("proxied", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00"),
        "after the PROXY header": at("proxied", b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 25\r\n"),
    }
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("vanish"), SPEC) as running:
        yield running


@pytest.mark.parametrize("state", STATES)
def test_a_client_that_vanishes_leaves_nothing(shared: Serving, state: Callable[[Serving], Client]) -> None:
    """By a FIN or by a reset, in every state; no message that was not whole is in a mailbox."""
    with nothing_kept(shared, memory_growth=16 * MIB + CHECKS):
        all_at_once(5, lambda _: state(shared).leave())
        all_at_once(5, lambda _: state(shared).vanish())
        with others_served(shared, within=PROMPTLY) as seconds:
            eventually(lambda: len(seconds) >= 2, "two mails")
    eventually(lambda: not list(shared.mail.glob("*/*/tmp/*")), "nothing in tmp")
    for message in shared.messages("anna@example.org"):
        assert message.endswith(b"x" * 70 + b"\n")


def test_an_octet_a_second_is_cut_off(tmp_path: Path) -> None:
    """Neither a command nor a message can be drawn out for ever; meanwhile others are served."""
    limits = {"maxConnectionsPerClient": 0, "commandTimeoutSeconds": 5, "dataTimeoutSeconds": 10, "minDataRate": 500}
    with serving(tmp_path, {"limits": limits}) as server, nothing_kept(server, memory_growth=8 * MIB):
        ended: dict[str, bytes] = {}

        def command(number: int) -> None:
            with Client(server.port) as client:
                client.hear(220)
                trickle(client, b"EHLO client.example" * 10, seconds=1)
                ended[f"command {number}"] = client.hear_all()

        def message(number: int) -> None:
            with Client(server.port) as client:
                client.say(ENVELOPE + b"DATA\r\n")
                client.hear(220)
                for code in (250, 250, 250, 354):
                    client.hear(code)
                trickle(client, b"Subject: slow\r\n" * 10, seconds=1)
                ended[f"message {number}"] = client.hear_all()

        with others_served(server, within=PROMPTLY):
            all_at_once(40, lambda number: (command if number % 2 else message)(number))

        assert {reply[:9] for reply in ended.values()} == {b"421 4.4.2"}
        reasons = Counter(line.get("reason") for line in server.log())
        assert (reasons["timeout"], reasons["too_slow"]) == (20, 20)


def test_garbage_is_answered_or_cut_off(server: Serving) -> None:
    """Random octets, other protocols, half a handshake: on every port, in every place where a line is expected."""
    chance = random.Random(7)
    garbage = [
        *(chance.randbytes(size) for size in (1, 10, 1000, 100_000)),
        *(chance.randbytes(1000) + b"\r\n" for _ in range(10)),
        b"\0" * 10_000 + b"\r\n",
        b"\n" * 10_000,
        b"\r" * 10_000,
        "ÄÖÜ€😀\r\n".encode() * 100,
        b"\xff\xfe\r\n" * 100,
        b"GET / HTTP/1.1\r\nHost: mx.example.org\r\n\r\n",
        client_hello(),
        client_hello()[:50] + chance.randbytes(500),
        b"PROXY TCP4 999.0.0.1 1 2 3\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff" + chance.randbytes(70_000),
        b"MAIL FROM:<" + b"a" * 2000 + b"@example.org>\r\n",
        b"EHLO x\r\nMAIL FROM:<\xff@\xff>\r\nRCPT TO:<\0>\r\nDATA \0\r\nBDAT -1\r\nBDAT x\r\n",
        b"EHLO x\r\nAUTH PLAIN " + b"A" * 12_000 + b"\r\n",
        b"EHLO x\r\nAUTH PLAIN\r\n" + chance.randbytes(5000) + b"\r\n",
        ENVELOPE + b"DATA\r\n" + chance.randbytes(100_000) + b"\r\n.\r\n" + chance.randbytes(1000),
        ENVELOPE + b"BDAT 100000 LAST\r\n" + chance.randbytes(100_000) + chance.randbytes(1000),
    ]

    def throw(number: int) -> None:
        port = list(server.ports.values())[number % len(server.ports)]
        with Client(port) as client:
            try:
                client.say(garbage[number // len(server.ports)])
                client.socket.shutdown(1)
            except (BrokenPipeError, ConnectionResetError, OSError):
                pass
            client.hear_all()

    with nothing_kept(server, memory_growth=16 * MIB), others_served(server, within=PROMPTLY):
        all_at_once(len(garbage) * len(server.ports), throw)


def test_a_command_line_without_an_end_is_not_kept(server: Serving) -> None:
    """A megabyte, and then a hundred of them, without a newline: dropped as it comes, and then 500."""

    def talk(number: int) -> None:
        with Client(server.port) as client:
            client.hear(220)
            for _ in range(100 if number == 0 else 1):
                client.say(b"x" * MIB)
            client.say(b"\r\n")
            assert client.hear(500).startswith(b"500 5.5.2")
            client.say(b"NOOP\r\nQUIT\r\n")
            client.hear(250)
            client.hear(221)

    with nothing_kept(server, memory_growth=16 * MIB), others_served(server, within=PROMPTLY):
        all_at_once(20, talk)


def test_who_never_reads_replies_is_made_to_wait_and_cut_off(tmp_path: Path) -> None:
    """Commands pipelined for ever: as much is held as the sockets hold, until the time is up, and not before."""
    timeout = 4
    limits = {"maxConnectionsPerClient": 0, "commandTimeoutSeconds": timeout}
    held: list[float] = []  # seconds from the last command that the server took to the end
    taken: list[int] = []  # octets of commands

    def flood(server: Serving, command: bytes) -> None:
        with Client(server.port, receive_buffer=4096) as client:
            client.hear(220)
            octets, last = 0, time.monotonic()
            with suppress(ConnectionError):  # but no TimeoutError
                while True:
                    octets += client.socket.send(command * 1000)
                    last = time.monotonic()
            held.append(time.monotonic() - last)
            taken.append(octets)

    with (
        serving(tmp_path, SPEC | {"limits": limits}) as server,
        nothing_kept(server, memory_growth=16 * MIB),
        others_served(server, within=PROMPTLY),
    ):
        commands = (b"NOOP\r\n", b"EHLO client.example\r\n", b"HELP\r\n", b"RSET\r\n")
        all_at_once(12, lambda number: flood(server, commands[number % len(commands)]))

    assert len(held) == 12
    assert timeout / 2 < min(held) <= max(held) < 2 * timeout
    assert min(taken) > 10_000


def test_who_never_reads_the_reply_to_quit_is_cut_off(tmp_path: Path) -> None:
    """What the sockets cannot hold of the last replies keeps neither session nor connection."""
    limits = {"maxConnections": 0, "maxConnectionsPerClient": 0, "commandTimeoutSeconds": 4}
    clients: list[Client] = []

    def talk(number: int) -> None:
        client = Client(server.port, receive_buffer=4096)
        clients.append(client)
        client.say(b"EHLO client.example\r\n" * (16_000 + 200 * number) + b"QUIT\r\n")

    try:
        with serving(tmp_path, SPEC | {"limits": limits}) as server, nothing_kept(server, memory_growth=32 * MIB):
            all_at_once(30, talk)
    finally:
        for client in clients:  # until now they were there, and read nothing
            client.leave()


def test_who_reads_slowly_gets_every_reply(server: Serving) -> None:
    """Twenty thousand replies, fetched a few at a time: none is lost, and little is held meanwhile."""
    count = 20_000

    def talk(_: int) -> None:
        with Client(server.port, receive_buffer=4096) as client, ThreadPoolExecutor(1) as pool:
            client.hear(220)
            sent = pool.submit(client.say, b"NOOP\r\n" * count + b"QUIT\r\n")
            replies = 0
            while replies < count:
                client.hear(250)
                replies += 1
                if replies % 500 == 0:
                    time.sleep(0.01)
            client.hear(221)
            sent.result()

    with nothing_kept(server, memory_growth=16 * MIB), others_served(server, within=PROMPTLY):
        all_at_once(5, talk)


def test_a_pipeline_behind_a_refused_mail_comes_to_an_end(server: Serving) -> None:
    """20,000 RCPT that need no MAIL to be refused: some thousand replies and log lines, then 421 and the end."""
    with Client(server.port) as client:
        client.hear(220)
        client.say(b"EHLO client.example\r\n")
        client.hear(250)
        with suppress(ConnectionError):
            client.say(b"MAIL FROM:<nobody>\r\n" + b"RCPT TO:<anna@example.org>\r\n" * 20_000)
        heard = client.hear_all().splitlines()

    assert heard[0].startswith(b"501 5.1.7")
    assert heard[-1].startswith(b"421 4.7.0")
    assert 1000 < len(heard) < 1100
    server.logged(reason="max_errors")
    assert len(server.log()) < 1200


def test_busy_clients_leave_time_for_others(server: Serving) -> None:
    """Commands as fast as they go, replies read as fast as they come: others get their turn."""

    def talk(_: int) -> None:
        over = time.monotonic() + 5
        with Client(server.port) as client, ThreadPoolExecutor(1) as pool:
            reading = pool.submit(client.last_heard)
            while time.monotonic() < over:
                client.say(b"NOOP\r\n" * 5000)
            client.say(b"QUIT\r\n")
            assert reading.result().endswith(b"221 2.0.0 Bye\r\n")

    with nothing_kept(server, memory_growth=16 * MIB), others_served(server, within=PROMPTLY) as seconds:
        all_at_once(4, talk)
    assert len(seconds) > 5


@pytest.mark.parametrize(
    "recipient, how",
    table(
        {
            "300 MB thrown away": (b"hole", "DATA"),
            "300 MB thrown away, by chunks": (b"hole", "BDAT"),
            "300 MB into a mailbox": (b"anna", "DATA"),
            "300 MB without a line's end": (b"hole", "one line"),
        }
    ),
)
def test_a_huge_message_needs_no_more_memory_than_a_small_one(server: Serving, recipient: bytes, how: str) -> None:
    """It is in scratch while it comes, and goes to its destination in pieces."""
    piece = (b"x" * 998 + b"\r\n") * 1000

    def send(count: int) -> None:
        with Client(server.port, seconds=60) as client:
            client.hear(220)
            for line, code in (EHLO, MAIL, (b"RCPT TO:<%s@example.org>\r\n" % recipient, 250)):
                client.say(line)
                client.hear(code)
            if how == "BDAT":
                for _ in range(count):
                    client.say(b"BDAT %d\r\n" % len(piece) + piece)
                    client.hear(250)
                client.say(b"BDAT 0 LAST\r\n")
            else:
                client.say(b"DATA\r\n")
                client.hear(354)
                for _ in range(count):
                    client.say(piece if how == "DATA" else b"x" * len(piece))
                client.say(b"\r\n.\r\n")
            assert client.hear(250).startswith(b"250 2.0.0 Ok")

    send(3)
    with nothing_kept(server, memory_growth=16 * MIB), others_served(server, within=PROMPTLY):
        send(300)


def test_mail_is_taken_while_hashes_are_checked(server: Serving) -> None:
    """Passwords tried as fast as they go do not hold up the mail."""

    def guess(number: int) -> None:
        over = time.monotonic() + 4
        while time.monotonic() < over:
            with smtplib.SMTP("127.0.0.1", server.port, timeout=30) as smtp:
                smtp.ehlo("client.example")
                for _ in range(2):
                    smtp.docmd("AUTH PLAIN", b64encode(b"\0nobody%d\0x" % number).decode())

    with nothing_kept(server, memory_growth=16 * MIB + CHECKS), others_served(server, within=PROMPTLY):
        all_at_once(8, guess)
