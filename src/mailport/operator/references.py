"""PURE. Which keys of which Secrets and ConfigMaps a spec refers to, and where it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mailport.model import Deliver, Spec

CERTIFICATE = ("tls.crt", "tls.key")
LOGIN = ("username", "password")


@dataclass(frozen=True, slots=True)
class Reference:
    """An object in the gateway's namespace, and those of its keys that may be read; not each has to exist."""

    kind: str  # Secret or ConfigMap
    name: str
    keys: tuple[str, ...]
    field: str  # the path of the reference: spec.tls.certificateRefs[0]


def references(spec: Spec) -> Iterator[Reference]:
    """Return every reference, in the order of the document."""
    if spec.tls is not None:
        for index, ref in enumerate(spec.tls.certificate_refs):
            yield Reference("Secret", ref.name, CERTIFICATE, f"spec.tls.certificateRefs[{index}]")
    if spec.auth is not None:
        htpasswd = spec.auth.htpasswd.secret_ref
        yield Reference("Secret", htpasswd.name, (htpasswd.key,), "spec.auth.htpasswd.secretRef")
    for index, route in enumerate(spec.routes):
        yield from _of_destination(route.deliver, f"spec.routes[{index}].deliver.{route.deliver.kind}")


def _of_destination(deliver: Deliver, path: str) -> Iterator[Reference]:
    webhook = deliver.webhook
    if webhook is not None and webhook.signing_secret_ref is not None:
        signing = webhook.signing_secret_ref
        yield Reference("Secret", signing.name, (signing.key,), f"{path}.signingSecretRef")
    for kind, keys in CREDENTIALS.items():
        credentials = getattr(getattr(deliver, kind), "credentials_secret_ref", None)
        if credentials is not None:
            yield Reference("Secret", credentials.name, keys, f"{path}.credentialsSecretRef")
    with_tls = deliver.lmtp or deliver.smtp or deliver.webhook or deliver.s3 or deliver.nats
    if with_tls is not None and with_tls.tls.ca_ref is not None:
        ca = with_tls.tls.ca_ref
        yield Reference(str(ca.kind), ca.name, (ca.key,), f"{path}.tls.caRef")


CREDENTIALS = {
    "smtp": LOGIN,
    "webhook": ("token", *LOGIN),
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    "nats": ("creds", "nkey", "token", *LOGIN),
}
