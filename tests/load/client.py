"""A client that does as it is told, right or wrong."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

ENVELOPE = b"EHLO client.example\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<anna@example.org>\r\n"


class Client:
    """One connection; `said` is all that the server answered."""

    def __init__(self, port: int, *, seconds: float = 20, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(seconds)
        self.socket.connect(("127.0.0.1", port))
        self.said = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.socket.close()

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def hear(self, code: int) -> bytes:
        """Read to the last line of the next reply, which is to begin with this code; return it."""
        while True:
            line, newline, rest = self.said.partition(b"\n")
            if newline:
                self.said = rest
                if line[3:4] != b"-":
                    assert line.startswith(b"%d" % code), line
                    return line
            elif not self._more():
                raise AssertionError(f"closed, after {self.said!r}")

    def hear_all(self) -> bytes:
        """Read to the end of the connection; return what nobody has read."""
        try:
            while self._more():
                pass
        except ConnectionResetError:
            pass
        return self.said

    def last_heard(self) -> bytes:
        """Read to the end of the connection; return the last octets."""
        while data := self.socket.recv(65536):
            self.said = (self.said + data)[-1000:]
        return self.said

    def _more(self) -> bool:
        data = self.socket.recv(65536)
        self.said += data
        return bool(data)

    def leave(self) -> None:
        """Close: a FIN, or a reset where something is left unread."""
        self.socket.close()

    def vanish(self) -> None:
        """Reset the connection, as a machine that crashed does when it is asked."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def start_tls(self) -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)


def client_hello() -> bytes:
    """Return what a client sends first of a TLS handshake."""
    sent = ssl.MemoryBIO()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(ssl.MemoryBIO(), sent, server_hostname="mx.example.org")
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return sent.read()


def trickle(client: Client, data: bytes, *, seconds: float) -> None:
    """Send an octet at a time, so many seconds apart, until the server has had enough."""
    try:
        for octet in data:
            client.say(bytes([octet]))
            time.sleep(seconds)
    except (BrokenPipeError, ConnectionResetError):
        return
