"""A CA of the tests' own, and what a server on loopback shows that was signed by it."""

from __future__ import annotations

import ssl
from pathlib import Path

from tests.kube.certificates import Authority


def certificate(folder: Path) -> tuple[ssl.SSLContext, bytes]:
    """Write server.crt and server.key for 127.0.0.1 and localhost; return a server's context, and the CA in PEM."""
    authority = Authority(folder)
    authority.issue("server", "localhost", addresses=["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    return context, authority.certificate.read_bytes()
