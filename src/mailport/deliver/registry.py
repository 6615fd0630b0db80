"""Which destinations there are: from a route's `deliver` to what serves it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from mailport.contract import model
from mailport.contract.faults import Fault
from mailport.deliver.destination import Destination
from mailport.deliver.discard import Discard
from mailport.deliver.maildir.destination import Maildir
from mailport.deliver.maildir.usage import MailboxUsage
from mailport.deliver.misconfigured import Misconfigured
from mailport.deliver.nats import credentials as nats_credentials
from mailport.deliver.nats.destination import Nats
from mailport.deliver.next_hop.client import Login
from mailport.deliver.next_hop.lmtp import Lmtp
from mailport.deliver.next_hop.smtp import Smtp
from mailport.deliver.refuse import Refuse
from mailport.deliver.s3 import credentials as s3_credentials
from mailport.deliver.s3.destination import S3, endpoint
from mailport.deliver.secret_values import without_line_end
from mailport.deliver.webhook import credentials
from mailport.deliver.webhook.destination import Proof, Webhook
from mailport.deliver.webhook.signature import Keys
from mailport.outward import trust
from mailport.outward.dial import Dialer
from mailport.outward.http import Poster
from mailport.outward.trust import Tls

Values = Mapping[str, Mapping[str, bytes]]

_KINDS = (Smtp, Lmtp, Webhook, S3, Nats, Maildir, Discard, Refuse)
DESTINATIONS = {destination.kind: destination for destination in _KINDS}
# The package that a kind needs, where that is no dependency but an extra of the kind's name
_EXTRAS = {"s3": "obstore", "nats": "nats"}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all destinations are built in."""

    hostname: str  # spec.hostname
    mail_root: Path
    dialer: Dialer
    usage: MailboxUsage | None = None  # what mailboxes without a claim take, where that is limited
    scratch: Path | None = None  # the folder for contents on their way; None: the system's for temporary files


def build(deliver: model.Deliver, around: Surroundings, values: Values) -> Destination:
    """Build a route's destination, of a kind that is served. Blocks.

    `values` are those of its references, by the last part of their field: credentialsSecretRef, signingSecretRef,
    caRef. Raises ValueError, which names no value, where one is there and cannot be used.
    """
    if deliver.maildir is not None:
        return Maildir(deliver.maildir, around.mail_root, around.usage, around.scratch)
    if deliver.lmtp is not None:
        tls = _tls(deliver.lmtp.tls, deliver.lmtp.host, values)
        return Lmtp(deliver.lmtp, hostname=around.hostname, dialer=around.dialer, tls=tls)
    if deliver.smtp is not None:
        tls, login = _tls(deliver.smtp.tls, deliver.smtp.host, values), _login(values)
        return Smtp(deliver.smtp, hostname=around.hostname, dialer=around.dialer, tls=tls, login=login)
    if deliver.webhook is not None:
        host = urlsplit(deliver.webhook.url).hostname or ""
        tls = _tls(deliver.webhook.tls, host, values)
        return Webhook(deliver.webhook, dialer=around.dialer, tls=tls, proof=_proof(values))
    if deliver.s3 is not None:
        return _s3(deliver.s3, around, values)
    if deliver.nats is not None:
        return _nats(deliver.nats, around, values)
    if deliver.refuse is not None:
        return Refuse(deliver.refuse)
    return Discard()


def misconfigured(deliver: model.Deliver, why: str) -> Destination:
    """Return what answers 451 in a destination's place."""
    served = DESTINATIONS[deliver.kind]
    return Misconfigured(deliver.kind, served.rank, why, final=served.final)


def not_installed(spec: model.Spec) -> Iterator[Fault]:
    """Yield a fault for each route whose destination needs a package that is not installed here."""
    for index, route in enumerate(spec.routes):
        kind = route.deliver.kind
        if kind in _EXTRAS and find_spec(_EXTRAS[kind]) is None:
            message = f'needs the extra "{kind}", which is not installed: pip install ".[{kind}]" in its folder'
            yield Fault(f"spec.routes[{index}].deliver.{kind}", message)


def _s3(settings: model.S3, around: Surroundings, values: Values) -> S3:
    from mailport.deliver.s3.bucket import Bucket  # noqa: PLC0415 - obstore is an extra

    credentials: s3_credentials.Keys | s3_credentials.WorkloadIdentity | None
    if "credentialsSecretRef" in values:
        credentials = s3_credentials.read(values["credentialsSecretRef"])
    else:
        credentials = s3_credentials.workload_identity(os.environ, settings.region)
    bucket = None
    if credentials is not None:
        url, ca = endpoint(settings), _ca(values)
        tls = Tls(trust.context(ca, public=True), urlsplit(url).hostname or "")
        asking = Poster(url, around.dialer, tls)
        bucket = Bucket(settings, url, credentials, trust.pem(ca) if ca is not None else None, asking)
    return S3(settings, dialer=around.dialer, bucket=bucket, credentials=credentials)


def _nats(settings: model.Nats, around: Surroundings, values: Values) -> Nats:
    from mailport.deliver.nats.connecting import Connecting  # noqa: PLC0415 - nats-py is an extra
    from mailport.deliver.nats.session import Place  # noqa: PLC0415

    login = nats_credentials.Login()
    if "credentialsSecretRef" in values:
        login = nats_credentials.read(values["credentialsSecretRef"])
    place = Place(
        settings.url,
        _tls(settings.tls, urlsplit(settings.url).hostname or "", values),
        tls_required=settings.insists_on_tls,
        login=login,
    )
    return Nats(settings, connecting=Connecting(place, around.dialer, settings.timeout_seconds))


def _ca(values: Values) -> bytes | None:
    return next(iter(values.get("caRef", {}).values()), None)


def _tls(settings: model.ClientTls, host: str, values: Values) -> Tls:
    return Tls(trust.context(_ca(values)), settings.server_name or host)


def _login(values: Values) -> Login | None:
    credentials = values.get("credentialsSecretRef")
    if credentials is None:
        return None
    username, password = (without_line_end(credentials[key]) for key in ("username", "password"))
    if not username or b"\0" in username + password:
        raise ValueError("the username is empty, or there is a NUL in it or in the password")
    return Login(username, password)


def _proof(values: Values) -> Proof:
    keys, login = values.get("signingSecretRef"), values.get("credentialsSecretRef")
    return Proof(
        Keys(next(iter(keys.values()))) if keys is not None else None,
        credentials.read(login) if login is not None else credentials.Credentials(),
    )
