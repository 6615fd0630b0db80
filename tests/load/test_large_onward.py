"""A large message on its way to a next hop takes no more memory than a small one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deliver.next_hop import servers
from tests.deliver.next_hop.servers import NextHopServer
from tests.disks import needs_root
from tests.load.client import Client
from tests.load.server import MIB, forget_peak, memory
from tests.serving import Serving, eventually, serving
from tests.tables import table

pytestmark = [pytest.mark.slow, needs_root]

LINE = b".a line that begins with a dot, as long as lines are, more or less, in any message whatever\r\n"
PIECE = LINE * 1000
SMALL, LARGE = 4 * MIB, 100 * MIB  # both are more than is held in memory (1 MiB of one message), and so in scratch
MORE = MIB  # octets at the peak: a piece is 256 KiB


@pytest.fixture(scope="module")
def hops() -> Iterator[dict[str, NextHopServer]]:
    with servers.dovecot() as dovecot, servers.postfix() as postfix:
        yield {"lmtp": dovecot, "smtp": postfix}


def send(server: Serving, octets: int, how: str) -> None:
    """Send a message piece by piece, and hear its 250."""
    with Client(server.port, seconds=200) as client:
        client.hear(220)
        client.say(b"EHLO client.example\r\n")
        client.hear(250)
        client.say(b"MAIL FROM:<a@client.example>\r\n")
        client.hear(250)
        client.say(b"RCPT TO:<anna@example.org>\r\n")
        client.hear(250)
        pieces = octets // len(PIECE)
        if how == "DATA":
            client.say(b"DATA\r\n")
            client.hear(354)
        else:
            client.say(b"BDAT %d LAST\r\n" % (17 + pieces * len(PIECE)))
        client.say(b"Subject: large\r\n\r\n")
        for _ in range(pieces):
            client.say(PIECE)
        client.say(b".\r\n" if how == "DATA" else b"")
        client.hear(250)


def peak(server: Serving, octets: int, how: str) -> int:
    """Return the most memory that the server's process had while it sent such a message on."""
    forget_peak(server)
    send(server, octets, how)
    return memory(server, "VmHWM")


@pytest.mark.parametrize(
    "kind, port, how",
    table(
        {
            "to Dovecot, from DATA to BDAT": ("lmtp", "lmtp", "DATA"),
            "to Postfix, from BDAT to BDAT": ("smtp", "smtp", "BDAT"),
            "to Postfix, from DATA to DATA": ("smtp", "data", "DATA"),
            "to Postfix, by TLS": ("smtp", "starttls", "DATA"),
        }
    ),
)
def test_100_mb_take_no_more_memory_than_4(
    hops: dict[str, NextHopServer], tmp_path: Path, kind: str, port: str, how: str
):
    """And all of it arrives."""
    hop = hops[kind]
    tls: dict[str, object] = {"mode": "Disabled"}
    if port == "starttls":
        tls = {
            "mode": "StartTLSRequired",
            "serverName": servers.NAME,
            "caRef": {"kind": "Secret", "name": "ca", "key": "ca"},
        }
        (tmp_path / "secrets/ca").mkdir(parents=True)
        (tmp_path / "secrets/ca/ca").write_bytes(servers.AUTHORITY.pem)
    deliver = {kind: {"host": "127.0.0.1", "port": hop.ports[port], "tls": tls, "timeoutSeconds": 200}}
    spec = {
        "routes": [{"name": "onward", "recipients": ["*@example.org"], "deliver": deliver}],
        "messageSize": {"advertised": "200Mi"},
    }
    with serving(tmp_path, spec, "--allow-local-destinations") as server:
        send(server, SMALL, how)  # what the first one loads stays
        small, large = peak(server, SMALL, how), peak(server, LARGE, how)

    assert large - small < MORE, f"{(large - small) / MIB:.1f} MiB more"
    sizes = eventually(lambda: [len(message) for message in hop.messages("anna") if len(message) > 90 * MIB], "it")
    assert len(sizes) == 1
    for path in (hop.home / "mail/anna/new").glob("*"):
        path.unlink()
