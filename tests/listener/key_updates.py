"""A TLS 1.3 client that sends KeyUpdates (RFC 8446 §4.6.3) and pads its records (§5.4), which Python's ssl cannot.

OpenSSL itself, by ctypes.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import socket
from functools import cache
from typing import Any

_REQUESTED = 1  # SSL_KEY_UPDATE_REQUESTED: the other side is to answer with one of its own
_POINTER, _INT, _OCTETS = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p


@cache
def _libraries() -> tuple[Any, Any]:
    ssl, crypto = (ctypes.CDLL(ctypes.util.find_library(name)) for name in ("ssl", "crypto"))
    for library, name, result, arguments in (
        (ssl, "TLS_client_method", _POINTER, []),
        (ssl, "SSL_CTX_new", _POINTER, [_POINTER]),
        (ssl, "SSL_new", _POINTER, [_POINTER]),
        (ssl, "SSL_set_bio", None, [_POINTER, _POINTER, _POINTER]),
        (ssl, "SSL_set_connect_state", None, [_POINTER]),
        (ssl, "SSL_do_handshake", _INT, [_POINTER]),
        (ssl, "SSL_set_block_padding", _INT, [_POINTER, ctypes.c_size_t]),
        (ssl, "SSL_key_update", _INT, [_POINTER, _INT]),
        (ssl, "SSL_write", _INT, [_POINTER, _OCTETS, _INT]),
        (ssl, "SSL_read", _INT, [_POINTER, _OCTETS, _INT]),
        (crypto, "BIO_s_mem", _POINTER, []),
        (crypto, "BIO_new", _POINTER, [_POINTER]),
        (crypto, "BIO_read", _INT, [_POINTER, _OCTETS, _INT]),
        (crypto, "BIO_write", _INT, [_POINTER, _OCTETS, _INT]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return ssl, crypto


class KeyUpdates:
    """A connection to a port with implicit TLS. What it allocates is the test process's to lose."""

    def __init__(self, port: int) -> None:
        self._ssl, self._crypto = _libraries()
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._connection = self._ssl.SSL_new(self._ssl.SSL_CTX_new(self._ssl.TLS_client_method()))
        self._in, self._out = (self._crypto.BIO_new(self._crypto.BIO_s_mem()) for _ in range(2))
        self._ssl.SSL_set_bio(self._connection, self._in, self._out)
        self._ssl.SSL_set_connect_state(self._connection)
        self._buffer = ctypes.create_string_buffer(1 << 20)
        while self._ssl.SSL_do_handshake(self._connection) != 1:
            self.socket.sendall(self._records())
            self._take(self.socket.recv(65536))
        self.socket.sendall(self._records())

    def key_updates(self, count: int) -> bytes:
        """Return the records of so many."""
        made = []
        for _ in range(count):
            assert self._ssl.SSL_key_update(self._connection, _REQUESTED) == 1
            self._ssl.SSL_do_handshake(self._connection)
            made.append(self._records())
        return b"".join(made)

    def pad(self, octets: int) -> None:
        """Make each record that long from now on."""
        assert self._ssl.SSL_set_block_padding(self._connection, octets) == 1

    def says(self, line: bytes) -> bytes:
        """Return the records of a line."""
        assert self._ssl.SSL_write(self._connection, line, len(line)) == len(line)
        return self._records()

    def hears(self) -> bytes:
        """Return the next octets that the server sends; nothing where it has closed the connection."""
        while (length := self._ssl.SSL_read(self._connection, self._buffer, 65536)) <= 0:
            if not (records := self.socket.recv(65536)):
                return b""
            self._take(records)
        return ctypes.string_at(self._buffer, length)

    def _take(self, records: bytes) -> None:
        self._crypto.BIO_write(self._in, records, len(records))

    def _records(self) -> bytes:
        length = self._crypto.BIO_read(self._out, self._buffer, len(self._buffer))
        return ctypes.string_at(self._buffer, max(length, 0))
