"""Certificates: from the content of Secrets to the TLS context of a handshake."""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from tempfile import TemporaryFile

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mailport.contract.model import TlsVersion
from mailport.contract.references import CERTIFICATE
from mailport.listener.secrets import Secrets, Unreadable

CHAIN, KEY = CERTIFICATE
SELF_SIGNED_DAYS = 825  # Apple's clients take no server certificate that is valid for longer

_BEGIN = b"-----BEGIN CERTIFICATE-----"
_MINIMUM = {TlsVersion.V1_2: ssl.TLSVersion.TLSv1_2, TlsVersion.V1_3: ssl.TLSVersion.TLSv1_3}


class BadCertificate(ValueError):  # noqa: N818 - what it is
    """A chain and key that cannot be served, and why; the text quotes nothing of either."""


@dataclass(frozen=True, slots=True)
class CertificateInfo:
    """What /status, metrics and warnings say of a certificate."""

    secret_name: str
    serial_number: str  # hexadecimal, as openssl prints it
    not_before: datetime  # with a time zone, as is the next
    not_after: datetime
    names: tuple[str, ...]  # DNS names of subjectAltName: A-labels, lower case. A common name is none (RFC 9525 §2)
    chain: bytes = field(repr=False)  # PEM, with the intermediate certificates, which may change alone

    def warning(self, now: datetime) -> str | None:
        """Return what is wrong with its dates. It is served all the same: most mail servers do not verify it."""
        certificate = f"Secret {self.secret_name}: the certificate"
        if now > self.not_after:
            return f"{certificate} expired on {self.not_after:%Y-%m-%dT%H:%M:%SZ}"
        if now < self.not_before:
            return f"{certificate} is not valid before {self.not_before:%Y-%m-%dT%H:%M:%SZ}"
        return None


@dataclass(frozen=True, slots=True)
class LoadedTls:
    """The certificates in use, and what is missing or does not load of those that are named."""

    context: ssl.SSLContext | None  # for new handshakes; None while no certificate has loaded
    certificates: tuple[CertificateInfo, ...]  # those in use
    missing: tuple[tuple[str, str], ...]  # (Secret, key); where there was one, the earlier certificate is in use
    faults: tuple[str, ...]  # of what is there and does not load; likewise
    warnings: tuple[str, ...]
    complete: bool  # each has loaded at least once: readiness asks for it


@dataclass(frozen=True, slots=True)
class _Pair:
    """A certificate with its chain and its key, PEM."""

    secret_name: str
    chain: bytes = field(repr=False)
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What handshakes use of a pair, and what it was made of."""

    pair: _Pair
    min_version: TlsVersion
    info: CertificateInfo
    context: ssl.SSLContext


class Certificates:
    """The certificates of spec.tls; where one does not load any more, the last good one stays."""

    def __init__(self) -> None:
        self._good: dict[str, _Loaded] = {}

    def load(self, names: Sequence[str], secrets: Secrets, min_version: TlsVersion, now: datetime) -> LoadedTls:
        """Load what the Secrets of these names hold now. Blocks: call it in a thread, one call at a time.

        Open sessions live on with the context they began with; new handshakes are to be given the one returned.
        """
        missing: list[tuple[str, str]] = []
        faults: list[str] = []
        good: dict[str, _Loaded] = {}
        for name in names:
            former = self._good.get(name)
            pairs = [former.pair] if former is not None else []  # those to try: the Secret's, else the last good one
            try:
                values = secrets.get_all("Secret", name, (CHAIN, KEY))
                missing += (absent := [(name, key) for key in (CHAIN, KEY) if key not in values])
                if not absent:
                    pairs.insert(0, _Pair(name, values[CHAIN], values[KEY]))
            except Unreadable as error:
                faults.append(f"Secret {name}: {error}")
            while pairs and name not in good:
                try:
                    good[name] = _loaded(pairs.pop(0), min_version, former)
                except BadCertificate as error:
                    faults.append(f"Secret {name}: {error}")
        self._good = good

        loaded = list(good.values())
        certificates = tuple(one.info for one in loaded)
        return LoadedTls(
            context=_by_server_name(loaded),
            certificates=certificates,
            missing=tuple(missing),
            faults=tuple(faults),
            warnings=tuple(warning for info in certificates if (warning := info.warning(now))),
            complete=len(loaded) == len(names),
        )


def keep_bad_server_names_quiet() -> None:
    """Suppress the traceback that Python prints where a client asks for a server name that is not ASCII.

    The handshake fails. Python decodes the name before it calls `sni_callback` and cannot raise the error to anyone, so
    that any client could fill the log. Every other unraisable exception is printed as before.
    """
    earlier = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if not (isinstance(unraisable.exc_value, UnicodeDecodeError) and isinstance(unraisable.object, bytes)):
            earlier(unraisable)

    sys.unraisablehook = hook


def self_signed(hostname: str, now: datetime) -> tuple[bytes, bytes]:
    """Make a certificate for this host, reached by its name or over loopback; return it and its key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mailport serve --dev")])
    key_identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # a client's clock may be late
        .not_valid_after(now + timedelta(days=SELF_SIGNED_DAYS - 1))
        .add_extension(
            x509.SubjectAlternativeName(
                [
                    *(x509.DNSName(host) for host in dict.fromkeys((hostname, "localhost"))),
                    *(x509.IPAddress(ip_address(loopback)) for loopback in ("127.0.0.1", "::1")),
                ]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        # Python 3.13 verifies by RFC 5280 to the letter, which wants both of these.
        .add_extension(key_identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def _loaded(pair: _Pair, min_version: TlsVersion, former: _Loaded | None) -> _Loaded:
    """Return what handshakes use of a pair: the former, where it was made of the same. Raises BadCertificate."""
    if former is not None and (former.pair, former.min_version) == (pair, min_version):
        return former
    return _Loaded(pair, min_version, *_load(pair, min_version))


def _load(pair: _Pair, min_version: TlsVersion) -> tuple[CertificateInfo, ssl.SSLContext]:
    """Make what a handshake uses of a pair. Raises BadCertificate, whatever the Secret holds, and nothing else.

    What a library says of what it could not read may quote it ("MismatchedTags", "InvalidHeader"): it is not passed on.
    """
    try:
        return _checked(pair, min_version)
    except BadCertificate:
        raise
    except Exception as error:  # noqa: BLE001 - an unknown version, key or extension has an exception of its own each
        what = f"{CHAIN} and {KEY} hold a certificate or a key that cannot be read"
        raise BadCertificate(f"{what} ({type(error).__name__})") from None


def _checked(pair: _Pair, min_version: TlsVersion) -> tuple[CertificateInfo, ssl.SSLContext]:
    """Check a pair ourselves, to say in words what is wrong, and then have OpenSSL take it."""
    chain = _chain(pair.chain)
    key = _public_bytes(_private_key(pair.key).public_key())
    if key != _public_bytes(chain[0].public_key()):
        if any(key == _public_bytes(other.public_key()) for other in chain[1:]):
            raise BadCertificate(f"{CHAIN} is in the wrong order: the server's own certificate must be the first")
        raise BadCertificate(f"{KEY} does not belong to the certificate in {CHAIN}")
    return _info(pair, chain[0]), _context(pair, min_version)


def _chain(pem: bytes) -> list[x509.Certificate]:
    if _BEGIN not in pem:
        raise BadCertificate(f"{CHAIN} has no PEM certificate in it")
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise BadCertificate(f"{CHAIN} has a certificate in it that cannot be read") from None


def _private_key(pem: bytes) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(pem, password=None)
    except TypeError:
        raise BadCertificate(f"{KEY} is encrypted with a passphrase, which a server has nobody to ask for") from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadCertificate(f"{KEY} is no PEM private key that can be read") from None


def _public_bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _info(pair: _Pair, certificate: x509.Certificate) -> CertificateInfo:
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = alternative.value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        names = []
    except ValueError:
        raise BadCertificate(f"{CHAIN} has an extension that cannot be read") from None
    serial = certificate.serial_number
    return CertificateInfo(
        secret_name=pair.secret_name,
        serial_number=serial.to_bytes((serial.bit_length() + 7) // 8).hex().upper(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        names=tuple(name.lower().rstrip(".") for name in names),
        chain=pair.chain,
    )


def _context(pair: _Pair, min_version: TlsVersion) -> ssl.SSLContext:
    """Make the context of one certificate.

    No ticket is ever sent: those of TLS 1.3 made Outlook hang up (chasquid#64, mox#237). The cache from which
    TLS 1.2 clients may resume cannot be switched off from Python; it ends at 20,480 sessions of 1 KiB each.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _MINIMUM[min_version]
    context.num_tickets = 0  # TLS 1.3
    context.options |= (
        ssl.OP_NO_TICKET  # TLS 1.2
        | ssl.OP_NO_COMPRESSION
        | ssl.OP_NO_RENEGOTIATION
        | ssl.OP_CIPHER_SERVER_PREFERENCE
    )
    try:
        with _as_file(pair.chain) as chain, _as_file(pair.key) as key:
            context.load_cert_chain(chain, key)
    except ssl.SSLError as error:
        raise BadCertificate(f"OpenSSL does not take it: {error.reason or error}") from error
    except OSError as error:
        raise BadCertificate(f"OpenSSL cannot read it from memory: {error.strerror}") from error
    return context


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Give content a path, since `ssl` loads from files only. A key must not be written to disk, nor could a pod do it.

    Linux has files in memory; elsewhere it is one in the temporary directory that has no name when it is written.
    """
    with os.fdopen(os.memfd_create("tls"), "w+b") if hasattr(os, "memfd_create") else TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        yield f"/dev/fd/{file.fileno()}"


def _by_server_name(loaded: Sequence[_Loaded]) -> ssl.SSLContext | None:
    """Return the first context, which hands over to that of another certificate where the client asks for its name.

    A wildcard stands for one label, the first (RFC 9525 §6.3); a full name comes before a wildcard, the earlier
    certificate before a later one.
    """
    if not loaded:
        return None
    default = loaded[0].context
    if len(loaded) == 1:
        default.sni_callback = None  # it may have been the first of several
        return default
    by_name: dict[str, ssl.SSLContext] = {}
    for one in loaded:
        for name in one.info.names:
            by_name.setdefault(name, one.context)

    def choose(tls: ssl.SSLObject | ssl.SSLSocket, server_name: str | None, _: ssl.SSLContext) -> None:
        name = (server_name or "").lower().rstrip(".")
        tls.context = by_name.get(name) or by_name.get("*." + name.partition(".")[2]) or default

    default.sni_callback = choose
    return default
