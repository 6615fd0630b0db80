"""A TCP relay between an operator and the API server, with which a test plays the network: it cuts, freezes, delays.

The bytes go through as they are; TLS is between the two ends.
"""

import contextlib
import json
import select
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Self

_PIECE = 65536


class _Connection:
    """One connection, in a thread of its own."""

    def __init__(self, relay: "Relay", client: socket.socket, server: socket.socket) -> None:
        self._relay = relay
        self._others = {client: server, server: client}
        self._ended = threading.Event()
        self.frozen = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        for end in self._others:
            with contextlib.suppress(OSError):  # it is closed already
                end.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _run(self) -> None:
        client, server = self._others
        with client, server, contextlib.suppress(OSError):  # an end that is gone
            while self._pass_on():
                pass

    def _pass_on(self) -> bool:
        """Wait for what comes next and pass it on; return whether more may come."""
        for source in select.select(self._others, [], [])[0]:
            piece = source.recv(_PIECE)
            if self.frozen:
                self._ended.wait()
            if not piece or self._ended.is_set():
                return False
            time.sleep(self._relay.delay)
            self._others[source].sendall(piece)
        return True


class Relay:
    """A port of 127.0.0.1 that leads to the API server of a kubeconfig; `kubeconfig` leads through it."""

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        server = urllib.parse.urlsplit(config["clusters"][0]["cluster"]["server"])
        self._to = (server.hostname, server.port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        port = self._listening.getsockname()[1]
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
        self.kubeconfig = kubeconfig.with_name(f"{kubeconfig.stem}-by-{port}.kubeconfig")
        self.kubeconfig.write_text(json.dumps(config))
        self.delay = 0.0  # seconds that every piece takes longer
        self._connections: list[_Connection] = []
        self._open = True
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()
        self.cut()

    def cut(self) -> None:
        """End all connections; new ones are let through."""
        while self._connections:
            self._connections.pop().end()

    def freeze(self) -> None:
        """Let nothing more through on the connections that there are, not even their end; new ones are not hindered."""
        for connection in self._connections:
            connection.frozen = True

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        """End all connections, and let no new one through."""
        self._open = False
        self.cut()
        try:
            yield
        finally:
            self._open = True

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:  # __exit__
                return
            try:
                if self._open:
                    self._connections.append(_Connection(self, client, socket.create_connection(self._to)))
                    continue
            except OSError:  # the API server is not there
                pass
            client.close()
