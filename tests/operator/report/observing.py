"""What the operator observed of an InboundSmtp, for the tables: all is well, but for what is given."""

from dataclasses import replace

from mailport.operator.pods.observed import ObservedPod, Report
from mailport.operator.reason import Reason
from mailport.operator.report.observed import Observed
from mailport.operator.report.status import status
from tests.operator.making import MINIMAL, gateway, maildir

THEN, NOW, LATER = "2026-11-22T10:00:00Z", "2026-11-22T10:05:00Z", "2026-11-22T10:10:00Z"
HASH, OLD = "a" * 64, "0" * 64
EXPIRY = "2027-02-01T00:00:00Z"

ACCEPTED = Reason("Accepted", "Accepted", "the spec can be served")
PROGRAMMED = Reason("Programmed", "Programmed", "all objects are as they should be")
PENDING = Reason("Programmed", "Pending", "not applied yet")

TLS = {"tls": {"certificateRefs": [{"name": "mx-tls"}, {"name": "other-tls"}]}}
USERS = {"auth": {"htpasswd": {"secretRef": {"name": "mx-users"}}}}
LMTP = {"host": "dovecot.mail.svc", "port": 24, "tls": {"mode": "Implicit", "caRef": {"name": "internal-ca"}}}
CA = {"routes": [{"name": "staff", "recipients": ["*@example.org"], "deliver": {"lmtp": LMTP}}]}
ROUTE, ROUTES = ({"routes": [maildir(name, None) for name in names]} for names in (("mail",), ("mail", "out")))
NATS = {"url": "nats://nats.mail.svc", "stream": "MAIL", "subject": "mail"}
STREAM = {"routes": [{"name": "mail", "recipients": ["*@example.org"], "deliver": {"nats": NATS}}]}
NO_CHAIN = {"kind": "Secret", "name": "mx-tls", "key": "tls.crt", "field": "spec.tls.certificateRefs[0]"}
NO_KEY = NO_CHAIN | {"key": "tls.key"}
NO_USERS = {"kind": "Secret", "name": "mx-users", "key": "htpasswd", "field": "spec.auth.htpasswd.secretRef"}
NO_CA = {"kind": "ConfigMap", "name": "internal-ca", "key": "ca.crt", "field": "spec.routes[0].deliver.lmtp.tls.caRef"}
NO_CLAIM = {"kind": "PersistentVolumeClaim", "name": "mail", "field": "spec.routes[0].deliver.maildir.claimName"}


# --- what was observed


def report(digest=HASH, generation=3, **said):
    return Report(hash=digest, generation=generation, **said)


def pod(
    name="mx-1",
    *,
    ready=True,
    expected=HASH,
    ports=(25,),
    trouble="",
    says=None,
    silent=False,
    hosts=(),
    loses_mail=False,
):
    said = None if silent else says or report()
    return ObservedPod(name, ready, tuple(hosts), expected, said, frozenset(ports), trouble, loses_mail)


def tries(*said, name="mx-1", digest=HASH):
    """A pod, and what it says of destinations: route, state and error each."""
    destinations = (dict(zip(("route", "state", "error"), one.split(maxsplit=2), strict=False)) for one in said)
    return pod(name, says=report(digest, destinations=tuple(destinations)))


def of_before(found, generation=3):
    """The same pod, as it is when it was started for another spec, of which it keeps what it has."""
    return replace(found, report=replace(found.report, restart_required=True, generation=generation))


def streams(*said, looked=""):
    """A pod, and what it says of streams: route, reason and message each; `looked` is a route whose stream answers."""
    not_durable = (dict(zip(("route", "reason", "message"), one.split(maxsplit=2), strict=False)) for one in said)
    destinations = ({"route": looked, "state": "Reachable"},) if looked else ()
    return pod("mx-1", says=report(not_durable=tuple(not_durable), destinations=destinations))


def deployment(wanted=1, *, host_network=False, volumes=(), seen=7, conditions=(), paused=False, **counts):
    """A Deployment of generation 7 that is rolled out, but for what is given."""
    spec = {"volumes": list(volumes)} | ({"hostNetwork": True} if host_network else {})
    done = {"replicas": wanted, "updatedReplicas": wanted, "availableReplicas": wanted} | counts
    return {
        "metadata": {"name": "mx", "generation": 7},
        "spec": {
            "replicas": wanted,
            "template": {"spec": spec},
            **({"paused": True} if paused else {}),
        },
        # of these the API server leaves out what is 0
        "status": {"observedGeneration": seen, "conditions": list(conditions)} | {k: n for k, n in done.items() if n},
    }


def service(kind="ClusterIP", ips=("10.96.0.25",), ingress=(), node_ports=None):
    ports = [{"name": "smtp", "port": 25, "targetPort": "smtp"}]
    ports += [{"name": name, "port": 1, "nodePort": port} for name, port in (node_ports or {}).items()]
    return {
        "metadata": {"name": "mx"},
        "spec": {"type": kind, "clusterIPs": list(ips), "ports": ports},
        "status": {"loadBalancer": {"ingress": list(ingress)} if ingress else {}},
    }


def see(*pods, spec=None, before=None, **facts):
    """All is well: one pod serves what was applied; but for what is given."""
    made = gateway(**(spec or {}))
    observed = Observed(
        metadata={"name": "mx", "namespace": "mail", "generation": 3, "uid": "1"},
        spec=MINIMAL | (spec or {}),
        before=before or {},
        gateway=made,
        accepted=ACCEPTED,
        programmed=PROGRAMMED,
        config_hash=HASH,
        service=service(),
        deployment=deployment(max(1, len(pods))),
        pods=pods or (pod(),),
    )
    return replace(observed, **facts)


def first_visit(**facts):
    nothing = {"service": None, "deployment": None, "pods": (), "config_hash": None, "programmed": PENDING}
    return see(**nothing | facts)


def refused(reason, message="spec.listeners[0].port: must be between 1 and 65535", **facts):
    return see(gateway=None, accepted=Reason("Accepted", reason, message), **facts)


def earlier(kind, state, reason, message="as before", **fields):
    """A status from before, with one condition."""
    condition = {"type": kind, "status": state, "reason": reason, "message": message, "observedGeneration": 2}
    return {"conditions": [condition | {"lastTransitionTime": THEN}], **fields}


def same_generation(kind, state, reason, message="as before"):
    """The same, of the generation that there is now."""
    before = earlier(kind, state, reason, message)
    return {"conditions": [before["conditions"][0] | {"observedGeneration": 3}]}


def conditions(seen, now=NOW):
    return {condition["type"]: condition for condition in status(seen, now)["conditions"]}


STUCK = {
    "type": "Progressing",
    "status": "False",
    "reason": "ProgressDeadlineExceeded",
    "message": 'ReplicaSet "mx-2" has timed out progressing.',
}
REFUSED = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: pods=1"}
NOT_APPLIED = Reason("Programmed", "ApplyFailed", "Deployment mx: quota")
NO_IMAGE = pod("mx-2", ready=False, silent=True, trouble="ImagePullBackOff: no such image")
BEFORE = report(generation=2)  # of the spec, and of the configuration that was applied last
AS_STARTED = pod("mx-1", says=report(restart_required=True))
ASKED_FOR = {"service": {"type": "LoadBalancer"}}


def certificate(number, name="mx-tls"):
    return {"secretName": name, "serialNumber": number, "notAfter": EXPIRY}
