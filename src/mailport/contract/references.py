"""PURE. Which keys of which Secrets and ConfigMaps a spec refers to, and where it does."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from mailport.contract.model import Auth, CaKind, Deliver, Spec, Tls

CERTIFICATE = ("tls.crt", "tls.key")  # the keys of a kubernetes.io/tls Secret: the chain, and its key
LOGIN = ("username", "password")


@dataclass(frozen=True, slots=True)
class Reference:
    """An object in the gateway's namespace, and those of its keys that may be read; not each has to exist."""

    kind: Literal["Secret", "ConfigMap"]
    name: str
    keys: tuple[str, ...]
    field: str  # the path of the reference: spec.tls.certificateRefs[0]
    one_of: tuple[tuple[str, ...], ...] = ()  # sets of keys, one of which has to be there whole; none: all keys

    @property
    def mounts(self) -> tuple[str, ...]:
        """The keys as `serve --mounted` names them: Secret/mx-users/htpasswd."""
        return tuple(f"{self.kind}/{self.name}/{key}" for key in self.keys)

    def lacking(self, found: Collection[str]) -> tuple[str, ...]:
        """Return the keys that are missing, given those that are there: of the set that is nearest to whole."""
        lacking = [tuple(key for key in keys if key not in found) for keys in self.one_of or (self.keys,)]
        return min(lacking, key=len)


def references(spec: Spec) -> Iterator[Reference]:
    """Return every reference, in the order of the document."""
    if spec.tls is not None:
        yield from of_certificates(spec.tls)
    if spec.auth is not None:
        yield of_users(spec.auth)
    for index, route in enumerate(spec.routes):
        yield from of_destination(route.deliver, f"spec.routes[{index}].deliver.{route.deliver.kind}")


def of_certificates(tls: Tls) -> Iterator[Reference]:
    """Return the Secrets of the certificates."""
    for index, ref in enumerate(tls.certificate_refs):
        yield Reference("Secret", ref.name, CERTIFICATE, f"spec.tls.certificateRefs[{index}]")


def of_users(auth: Auth) -> Reference:
    """Return the Secret of the users."""
    htpasswd = auth.htpasswd.secret_ref
    return Reference("Secret", htpasswd.name, (htpasswd.key,), "spec.auth.htpasswd.secretRef")


def of_destination(deliver: Deliver, path: str) -> Iterator[Reference]:
    """Return what a destination refers to; `path` is its own in the document."""
    webhook = deliver.webhook
    if webhook is not None and webhook.signing_secret_ref is not None:
        signing = webhook.signing_secret_ref
        yield Reference("Secret", signing.name, (signing.key,), f"{path}.signingSecretRef")
    for kind, keys in CREDENTIALS.items():
        credentials = getattr(getattr(deliver, kind), "credentials_secret_ref", None)
        if credentials is not None:
            field, one_of = f"{path}.credentialsSecretRef", ONE_OF.get(kind, ())
            yield Reference("Secret", credentials.name, keys, field, one_of)
    with_tls = deliver.lmtp or deliver.smtp or deliver.webhook or deliver.s3 or deliver.nats
    if with_tls is not None and with_tls.tls.ca_ref is not None:
        ca = with_tls.tls.ca_ref
        of: Literal["Secret", "ConfigMap"] = "Secret" if ca.kind is CaKind.SECRET else "ConfigMap"
        yield Reference(of, ca.name, (ca.key,), f"{path}.tls.caRef")


def apart_from_references(deliver: Deliver) -> dict[str, Any]:
    """Return where a destination delivers to, and how, whatever Secrets and ConfigMaps it refers to."""
    refers: dict[str, bool | set[str]] = {"signing_secret_ref": True, "credentials_secret_ref": True, "tls": {"ca_ref"}}
    return deliver.model_dump(exclude={deliver.kind: refers})


CREDENTIALS = {
    "smtp": LOGIN,
    "webhook": ("token", *LOGIN),
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    "nats": ("creds", "nkey", "token", *LOGIN),
}
ONE_OF = {
    "webhook": (("token",), LOGIN),
    "s3": (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),),
    "nats": (("creds",), ("nkey",), ("token",), LOGIN),
}
