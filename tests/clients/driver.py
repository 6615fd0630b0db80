"""An SMTP client that says exactly what it is told, when it is told: what others never would."""

from __future__ import annotations

import socket
import ssl
from typing import Self


class Driver:
    """A connection to a server. Octets go out as they are given; replies come back whole."""

    def __init__(self, port: int, *, source: str = "127.0.0.1", seconds: float = 20) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), seconds, (source, 0))
        self._heard = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes | str) -> None:
        """Send; text is a command, and gets its CRLF."""
        self.socket.sendall(data if isinstance(data, bytes) else f"{data}\r\n".encode())

    def reply(self) -> str:
        """Return the next reply, the last line of it where it has several; empty at the end of the connection."""
        while True:
            while b"\n" not in self._heard:
                more = self.socket.recv(65536)
                if not more:
                    return ""
                self._heard += more
            line, _, self._heard = self._heard.partition(b"\n")
            if line[3:4] != b"-":
                return line.decode().rstrip("\r")

    def replies(self, count: int) -> list[str]:
        return [self.reply() for _ in range(count)]

    def say(self, command: bytes | str) -> str:
        """Send, and return the reply."""
        self.send(command)
        return self.reply()

    def start(self) -> Driver:
        """Say EHLO behind the greeting."""
        assert self.reply().startswith("220 ")
        assert self.say("EHLO client.example.com").startswith("250 ")
        return self

    def envelope(self, *recipients: str, parameters: str = "") -> Driver:
        """Begin a transaction."""
        assert self.say(f"MAIL FROM:<bob@example.com>{parameters}") == "250 2.1.0 sender ok"
        for recipient in recipients:
            assert self.say(f"RCPT TO:<{recipient}>") == "250 2.1.5 recipient ok"
        return self

    def start_tls(self) -> Driver:
        """Shake hands, whatever the certificate."""
        assert self.say("STARTTLS").startswith("220 ")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)
        assert self.say("EHLO client.example.com").startswith("250 ")
        return self

    @property
    def certificate(self) -> bytes:
        """The server's, DER."""
        assert isinstance(self.socket, ssl.SSLSocket)
        return self.socket.getpeercert(binary_form=True) or b""
