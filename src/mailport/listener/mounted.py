"""PURE. What a pod serves of a document that names a Secret, or a key of one, which the pod does not mount.

A pod's volumes are fixed when it is made. The operator makes new pods for such a document, and until they take over the
earlier ones go on as they were: with the certificates and users that they had, and where they had none, without TLS or
AUTH. All else of the document they take up.
"""

from __future__ import annotations

from collections.abc import Callable

from mailport.contract.model import Auth, AuthMode, Listener, ListenerAuth, ListenerTls, Spec, Tls, TlsMode
from mailport.contract.references import Reference, of_certificates, of_users

IsThere = Callable[[Reference], bool]  # whether all its keys are mounted, or the object stands in a document


def served_spec(spec: Spec, former: Spec | None, is_there: IsThere) -> tuple[Spec, tuple[str, ...]]:
    """Return the spec that can be served, and the Secrets that it would need, which only new pods have.

    `former` is the one that is served so far; None is a pod that starts anew within its rollout. It has no former
    certificates and users: it serves with those that it mounts, and is not ready without any.
    """
    certificates = list(of_certificates(spec.tls)) if spec.tls else []
    users = [of_users(spec.auth)] if spec.auth else []
    lacking = tuple(dict.fromkeys(wanted.name for wanted in (*certificates, *users) if not is_there(wanted)))
    if not lacking:
        return spec, ()
    tls = spec.tls if all(map(is_there, certificates)) else _former_tls(spec, former, is_there)
    auth = spec.auth if all(map(is_there, users)) else _former_auth(spec, former)
    listeners = spec.listeners
    if (tls is None and spec.tls) or (auth is None and spec.auth):
        earlier = {listener.name: listener for listener in former.listeners} if former else {}
        listeners = tuple(_former_listener(listener, earlier.get(listener.name), tls, auth) for listener in listeners)
    return spec.model_copy(update={"tls": tls, "auth": auth, "listeners": listeners}), lacking


def _former_tls(spec: Spec, former: Spec | None, is_there: IsThere) -> Tls | None:
    assert spec.tls is not None  # noqa: S101 - else it lacks nothing
    if former is None:
        of_tls = zip(spec.tls.certificate_refs, of_certificates(spec.tls), strict=True)
        mounted = tuple(ref for ref, wanted in of_tls if is_there(wanted))
        return spec.tls.model_copy(update={"certificate_refs": mounted or spec.tls.certificate_refs})
    if former.tls is None:
        return None
    return spec.tls.model_copy(update={"certificate_refs": former.tls.certificate_refs})


def _former_auth(spec: Spec, former: Spec | None) -> Auth | None:
    assert spec.auth is not None  # noqa: S101 - else it lacks nothing
    if former is None:
        return spec.auth
    if former.auth is None:
        return None
    return spec.auth.model_copy(update={"htpasswd": former.auth.htpasswd})


def _former_listener(listener: Listener, former: Listener | None, tls: Tls | None, auth: Auth | None) -> Listener:
    """Return a listener as it was, without what there is no certificate or are no users for."""
    earlier = former or listener
    return listener.model_copy(
        update={
            "tls": earlier.tls if tls else ListenerTls(mode=TlsMode.DISABLED),
            "auth": earlier.auth if auth else ListenerAuth(mode=AuthMode.NEVER),
        }
    )
