"""An address that drops every packet sent to it, as behind a NetworkPolicy: nobody refuses, and nobody answers.

The kernel does so for a listener whose queue is full (tcp(7), tcp_abort_on_overflow): a SYN gets no answer. So it takes
no rule of a firewall, and no rights.
"""

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager

_SECONDS = 0.3  # in which a connection on this machine is there, or refused


@contextmanager
def dropped_packets(address: str = "127.0.0.1", port: int = 0) -> Iterator[tuple[str, int]]:
    """Have every SYN to an address dropped; yield that address and its port."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second, socket.socket() as probe:
        full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        full.bind((address, port))
        full.listen(0)
        for client in (first, second, probe):
            client.setblocking(False)
            client.connect_ex(full.getsockname())
            came = select.select([], [client], [client], _SECONDS if client is probe else 0.05)
        assert came == ([], [], []), "somebody answers"
        yield full.getsockname()
