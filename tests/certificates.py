"""Certificates for tests: of an authority of their own, for another name, out of date."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

NOW = datetime.now(UTC)


@dataclass
class Issued:
    """A certificate for the tests, signed by itself or by another."""

    names: Sequence[str]
    common_name: str = "test"
    not_before: datetime = NOW - timedelta(days=2)
    not_after: datetime = NOW + timedelta(days=2)
    issuer: Issued | None = None
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    certificate: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name((self.issuer or self).name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.not_before)
            .not_valid_after(self.not_after)
            .add_extension(x509.BasicConstraints(ca=self.issuer is None, path_length=None), critical=True)
        )
        if self.names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name) for name in self.names]), critical=False
            )
        self.certificate = builder.sign((self.issuer or self).key, hashes.SHA256())

    @property
    def name(self) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.common_name)])

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self, passphrase: bytes | None = None) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption(),
        )

    def load_into(self, context: ssl.SSLContext) -> None:
        """Have a context prove this: it reads files only."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(self.pem + self.key_pem())
            file.flush()
            context.load_cert_chain(file.name)

    @property
    def secret(self) -> dict[str, bytes]:
        return {"tls.crt": self.pem, "tls.key": self.key_pem()}
