"""The status of an InboundSmtp, from what was observed: every condition with every reason, and what is beside them."""

import json
import random
import re
from dataclasses import replace
from datetime import datetime
from functools import cache

import pytest

from mailport.operator.admit.admit import MAX_MESSAGE
from mailport.operator.pods.observed import ObservedPod, Report
from mailport.operator.reason import STALLS, TABLE, Reason
from mailport.operator.report.observed import Observed
from mailport.operator.report.status import status
from tests.contract.test_crd_schema import schema
from tests.operator.making import MINIMAL, gateway, maildir
from tests.tables import table

THEN, NOW, LATER = "2026-11-22T10:00:00Z", "2026-11-22T10:05:00Z", "2026-11-22T10:10:00Z"
HASH, OLD = "a" * 64, "0" * 64
EXPIRY = "2027-02-01T00:00:00Z"

ACCEPTED = Reason("Accepted", "Accepted", "the spec can be served")
PROGRAMMED = Reason("Programmed", "Programmed", "5 children are as rendered")
PENDING = Reason("Programmed", "Pending", "the children are not written yet")

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


# --- the conditions, by their reasons

QUIET = deployment(0)
PASSING = deployment(volumes=[{"name": "scratch", "emptyDir": {}}, {"name": "mail", "emptyDir": {"sizeLimit": "1Gi"}}])
KEEPING = deployment(volumes=[{"name": "scratch", "emptyDir": {}}, {"name": "claim-a", "persistentVolumeClaim": {}}])
ON_CLAIM, ON_NONE = ({"routes": [maildir("mail", claim)]} for claim in ("mail", None))
SUSPENDED = see(programmed=Reason("Programmed", "Suspended", "Service mx would change"))

CASES = {
    "Accepted": {
        "a spec that can be served": (see(), "True Accepted: the spec can be served"),
        "a spec with a fault, of which the message has the path": (
            refused("Invalid"),
            "False Invalid: spec.listeners[0].port: must be between 1 and 65535",
        ),
        "several faults are on one line": (
            refused("Invalid", "spec.hostname: required\nspec.routes: required"),
            "False Invalid: spec.hostname: required; spec.routes: required",
        ),
        "what the operator does not allow": (
            refused("NotPermitted", "spec.network.hostNetwork: not with this operator's --allow"),
            "False NotPermitted: spec.network.hostNetwork: not with this operator's --allow",
        ),
        "a spec of a newer version": (
            refused("UnsupportedField", "spec.queue: unknown field"),
            "False UnsupportedField: spec.queue: unknown field",
        ),
        "more than a ConfigMap holds": (refused("ConfigTooLarge", "spec: 2 MiB"), "False ConfigTooLarge: spec: 2 MiB"),
        "one claim on two nodes": (
            refused("ClaimNotShared", "mail is ReadWriteOnce"),
            "False ClaimNotShared: mail is ReadWriteOnce",
        ),
        "a node's address in a pod": (
            refused("BindAddressUnavailable", "needs hostNetwork"),
            "False BindAddressUnavailable: needs hostNetwork",
        ),
    },
    "ResolvedRefs": {
        "a spec that refers to nothing": (see(), "True ResolvedRefs: no Secret, ConfigMap or claim is missing"),
        "a spec that refers to nothing needs no pod to know": (
            first_visit(),
            "True ResolvedRefs: no Secret, ConfigMap or claim is missing",
        ),
        "all is there that a pod with this configuration looked for": (
            see(pod("mx-1"), pod("mx-2", silent=True), spec=TLS),
            "True ResolvedRefs: all that the spec refers to is there",
        ),
        "a Secret without any of the keys referred to may not be there at all": (
            see(pod(ready=False, says=report(missing=(NO_CHAIN, NO_KEY))), spec=TLS),
            (
                "False SecretNotFound: Secret mx-tls (spec.tls.certificateRefs[0]) is not there, "
                "or has no key tls.crt, tls.key"
            ),
        ),
        "a Secret of which one key is referred to": (
            see(pod(says=report(missing=(NO_USERS,))), spec=TLS | USERS),
            "False SecretNotFound: Secret mx-users (spec.auth.htpasswd.secretRef) is not there, or has no key htpasswd",
        ),
        "a Secret of which the listener names no key": (
            see(pod(says=report(missing=({**NO_KEY, "key": ""}, NO_KEY))), spec=TLS),
            "False SecretNotFound: Secret mx-tls (spec.tls.certificateRefs[0]) is not there, or has no key tls.key",
        ),
        "a Secret with one of two keys": (
            see(pod(says=report(missing=(NO_KEY,))), spec=TLS),
            "False SecretKeyMissing: Secret mx-tls (spec.tls.certificateRefs[0]) has no key tls.key",
        ),
        "a Secret of which another field needs another key, which is there": (
            see(
                pod(says=report(missing=({**NO_USERS, "name": "mx-tls"},))),
                spec=TLS | {"auth": {"htpasswd": {"secretRef": {"name": "mx-tls"}}}},
            ),
            "False SecretKeyMissing: Secret mx-tls (spec.auth.htpasswd.secretRef) has no key htpasswd",
        ),
        "a ConfigMap": (
            see(pod(says=report(missing=(NO_CA,))), spec=CA),
            (
                "False ConfigMapNotFound: ConfigMap internal-ca (spec.routes[0].deliver.lmtp.tls.caRef) is not there, "
                "or has no key ca.crt"
            ),
        ),
        "a claim, without which no pod can say anything": (
            see(
                pod(ready=False, silent=True),
                spec={"routes": [maildir("mail", "mail")]} | TLS,
                missing_claims=(NO_CLAIM,),
            ),
            "False ClaimNotFound: PersistentVolumeClaim mail (spec.routes[0].deliver.maildir.claimName) is not there",
        ),
        "several things: each is named, and the worst gives the reason": (
            see(pod(says=report(missing=(NO_CA, NO_USERS, NO_KEY))), spec=CA | TLS | USERS, missing_claims=(NO_CLAIM,)),
            (
                "False ClaimNotFound: "
                "PersistentVolumeClaim mail (spec.routes[0].deliver.maildir.claimName) is not there; "
                "Secret mx-users (spec.auth.htpasswd.secretRef) is not there, or has no key htpasswd; "
                "Secret mx-tls (spec.tls.certificateRefs[0]) has no key tls.key; "
                "ConfigMap internal-ca (spec.routes[0].deliver.lmtp.tls.caRef) is not there, or has no key ca.crt"
            ),
        ),
        "the spec in force is invalid, and its pods do not find a Secret": (
            refused("Invalid", pods=(pod(says=report(missing=(NO_KEY,))),)),
            "False SecretNotFound: Secret mx-tls (spec.tls.certificateRefs[0]) is not there, or has no key tls.key",
        ),
        "a Secret that an old pod misses and the spec no longer names": (
            see(pod(says=report(OLD, missing=(NO_USERS,))), pod("mx-2"), spec=TLS),
            "True ResolvedRefs: all that the spec refers to is there",
        ),
        "what a pod with the configuration of before misses, where another has the current one": (
            see(pod(says=report(OLD, missing=(NO_USERS,))), pod("mx-2"), spec=TLS | USERS),
            "True ResolvedRefs: all that the spec refers to is there",
        ),
        "a Secret that is still missed by a pod with the configuration of before": (
            see(pod(says=report(OLD, missing=(NO_USERS,))), spec=TLS | USERS),
            "False SecretNotFound: Secret mx-users (spec.auth.htpasswd.secretRef) is not there, or has no key htpasswd",
        ),
        "a pod with the configuration of before cannot know what a new one needs": (
            see(pod(says=report(OLD)), spec=TLS),
            "Unknown Unknown: no pod has said what it finds of this configuration",
        ),
        "nor can one that was started before, and has not mounted it": (
            see(AS_STARTED, NO_IMAGE, spec=TLS),
            "Unknown Unknown: no pod has said what it finds of this configuration",
        ),
        "beside it a new one can": (
            see(AS_STARTED, pod("mx-2", ready=False), spec=TLS),
            "True ResolvedRefs: all that the spec refers to is there",
        ),
        "what the pods have of a spec that is held back": (
            replace(SUSPENDED, gateway=gateway(**TLS), pods=(pod(says=BEFORE),)),
            "Unknown Unknown: no pod has said what it finds of this configuration",
        ),
        "what they have of one of which only a budget could not be applied": (
            see(spec=TLS, programmed=NOT_APPLIED),
            "True ResolvedRefs: all that the spec refers to is there",
        ),
        "no pod could be asked for what the spec refers to": (
            see(pod(silent=True), spec=TLS),
            "Unknown Unknown: no pod has said what it finds of this configuration",
        ),
        "what pods found of this generation before they fell silent": (
            see(
                pod(silent=True), spec=TLS, before=same_generation("ResolvedRefs", "True", "ResolvedRefs", "all of it")
            ),
            "True ResolvedRefs: all of it",
        ),
        "what they found of another generation": (
            see(pod(silent=True), spec=TLS, before=earlier("ResolvedRefs", "True", "ResolvedRefs")),
            "Unknown Unknown: no pod has said what it finds of this configuration",
        ),
        "what they did not find before they fell silent": (
            see(pod(silent=True), spec=TLS, before=same_generation("ResolvedRefs", "False", "SecretNotFound")),
            "Unknown Unknown: no pod has said what it finds of this configuration",
        ),
        "what was found before, where a pod says that it runs something else": (
            see(
                pod("mx-1", silent=True),
                pod("mx-2", says=report(OLD)),
                spec=TLS,
                before=same_generation("ResolvedRefs", "True", "ResolvedRefs"),
            ),
            "Unknown Unknown: no pod has said what it finds of this configuration",
        ),
        "what an invalid spec refers to": (
            refused("Invalid"),
            "Unknown Unknown: pods look for what an accepted spec refers to",
        ),
        "what a spec refers to, at the first visit": (
            first_visit(spec=TLS, gateway=gateway(**TLS)),
            "Unknown Pending: no pod has looked yet",
        ),
    },
    "Programmed": {
        "children that are as rendered": (see(), "True Programmed: 5 children are as rendered"),
        "children that are on their way": (first_visit(), "Unknown Pending: the children are not written yet"),
        "an object of that name that is not ours": (
            see(programmed=Reason("Programmed", "ChildConflict", "Service mx is not ours")),
            "False ChildConflict: Service mx is not ours",
        ),
        "a field that cannot be changed, with the command to run": (
            see(programmed=Reason("Programmed", "ImmutableField", "kubectl -n mail delete service mx")),
            "False ImmutableField: kubectl -n mail delete service mx",
        ),
        "what the API server does not take": (
            see(
                programmed=Reason(
                    "Programmed", "ApplyFailed", "Deployment mx: spec.template.spec.affinity: unknown field"
                )
            ),
            "False ApplyFailed: Deployment mx: spec.template.spec.affinity: unknown field",
        ),
        "what somebody else writes too": (
            see(programmed=Reason("Programmed", "ChildContested", "Deployment mx: changed back by kubectl-edit")),
            "False ChildContested: Deployment mx: changed back by kubectl-edit",
        ),
        "a difference that may not be applied": (SUSPENDED, "False Suspended: Service mx would change"),
    },
    "Available": {
        "one of two pods is ready, and mail is taken": (
            see(pod("mx-1"), pod("mx-2", ready=False, trouble="CrashLoopBackOff")),
            "True MinimumReplicasAvailable: 1 of 2 replicas are ready",
        ),
        "while pods give way to others there are more than wanted": (
            see(pod("mx-1"), pod("mx-2"), pod("mx-3"), deployment=deployment(2, replicas=3)),
            "True MinimumReplicasAvailable: 3 of 3 replicas are ready",
        ),
        "no pod is ready, and one says why": (
            see(
                pod("mx-2", ready=False, silent=True, trouble="ImagePullBackOff: no such image"),
                pod("mx-1", ready=False, silent=True),
            ),
            "False NoReplicaReady: 0 of 2 replicas are ready: pod mx-2: ImagePullBackOff: no such image",
        ),
        "what a listener said as it died may have several lines and colours": (
            see(pod(ready=False, trouble="Error: \x1b[31mno\tport\x1b[0m\r\n\n  25 \ud800")),
            "False NoReplicaReady: 0 of 1 replicas are ready: pod mx-1: Error: [31mno port [0m; 25",
        ),
        "a pod that waits for a claim that is another's too": (
            see(
                pod(ready=False, silent=True, trouble="ContainerCreating: FailedAttachVolume: Multi-Attach error"),
                shared_claims=("claim mail, which one node alone can mount, is also of InboundSmtp other",),
            ),
            (
                "False NoReplicaReady: 0 of 1 replicas are ready: pod mx-1: ContainerCreating: FailedAttachVolume: "
                "Multi-Attach error; claim mail, which one node alone can mount, is also of InboundSmtp other"
            ),
        ),
        "there is no pod, and the Deployment says why": (
            see(
                pods=(),
                deployment=deployment(
                    2,
                    replicas=0,
                    conditions=[
                        {"type": "Progressing", "status": "True", "message": "created new replica set"},
                        {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: pods=0"},
                    ],
                ),
            ),
            "False NoReplicaReady: 0 of 2 replicas are ready: exceeded quota: pods=0",
        ),
        "there is no pod, and nothing says why": (
            see(pods=(), deployment=deployment(2, replicas=0)),
            "False NoReplicaReady: 0 of 2 replicas are ready",
        ),
        "there is no Deployment, and of the spec nothing is known": (
            refused("Invalid", pods=(), deployment=None),
            "False NoReplicaReady: no replica is ready",
        ),
        "no pod is to run": (
            see(spec={"replicas": 0}, pods=(), deployment=QUIET),
            "False ScaledToZero: spec.replicas is 0",
        ),
        "no pod would be to run, which is held back": (
            replace(SUSPENDED, gateway=gateway(replicas=0), pods=(pod(ready=False),)),
            "False NoReplicaReady: 0 of 1 replicas are ready",
        ),
        "no pod is to run, and the spec has become invalid": (
            refused("Invalid", pods=(), deployment=QUIET),
            "False ScaledToZero: spec.replicas is 0",
        ),
        "a pod that is still there when none is to run": (
            see(spec={"replicas": 0}, deployment=deployment(0, replicas=1)),
            "True MinimumReplicasAvailable: 1 of 1 replicas are ready",
        ),
        "with autoscaling spec.replicas is nobody's": (
            see(pod(ready=False), spec={"replicas": 0, "autoscaling": {"maxReplicas": 3}}),
            "False NoReplicaReady: 0 of 1 replicas are ready",
        ),
        "whether mail is taken, at the first visit": (first_visit(), "Unknown Pending: no pod has been started yet"),
        "whether mail is taken, while nothing has come of the first visit": (
            first_visit(before=earlier("Available", "Unknown", "Pending")),
            "Unknown Pending: no pod has been started yet",
        ),
        "no pod while children change, where there were some before": (
            first_visit(before=earlier("Available", "True", "MinimumReplicasAvailable")),
            "False NoReplicaReady: 0 of 1 replicas are ready",
        ),
    },
    "ConfigLive": {
        "every ready pod runs this configuration, and the others do not count": (
            see(pod("mx-1"), pod("mx-2"), pod("mx-3", ready=False, says=report(OLD, reload_error="bad"))),
            "True Live: 2 of 2 ready pods run this configuration",
        ),
        "no pod is to run any": (see(spec={"replicas": 0}, pods=(), deployment=QUIET), "True Live: no pod is to run"),
        "one of two ready pods lags": (
            see(pod("mx-1"), pod("mx-2", says=report(OLD))),
            "False Propagating: 1 of 2 ready pods run this configuration",
        ),
        "a pod that lags weighs more than one that does not answer": (
            see(pod("mx-1", silent=True), pod("mx-2", says=report(OLD))),
            "False Propagating: 0 of 2 ready pods run this configuration",
        ),
        "a pod that mounts what we no longer write": (
            see(pod("mx-1", expected=None, silent=True)),
            "False Propagating: 0 of 1 ready pods run this configuration",
        ),
        "a pod that could not load it, in the listener's words": (
            see(pod("mx-1", says=report(OLD)), pod("mx-2", says=report(OLD, reload_error="spec.hostname: required"))),
            "False ReloadFailed: pod mx-2: spec.hostname: required",
        ),
        "a pod that runs it and cannot load a certificate": (
            see(pod("mx-1", says=report(reload_error="Secret mx-tls: tls.key is no PEM private key"))),
            "False ReloadFailed: pod mx-1: Secret mx-tls: tls.key is no PEM private key",
        ),
        "a ready pod that does not answer": (
            see(pod("mx-1"), pod("mx-2", silent=True)),
            "Unknown PodsUnreachable: these do not say what they run: mx-2",
        ),
        "no ready pod": (see(pod("mx-1", ready=False)), "Unknown PodsUnreachable: no pod is ready"),
        "a pod that listens as it was started, until another takes its place": (
            see(AS_STARTED),
            "False RollingOut: these serve on as they were started: mx-1",
        ),
        "a new pod that does not start yet, and why": (
            see(AS_STARTED, NO_IMAGE, deployment=deployment(1, replicas=2)),
            "False RollingOut: 1 of 1 replicas are up to date: pod mx-2: ImagePullBackOff: no such image",
        ),
        "a new pod that may not be made, and why": (
            see(AS_STARTED, deployment=deployment(1, updatedReplicas=0, conditions=[REFUSED])),
            "False RollingOut: 0 of 1 replicas are up to date: exceeded quota: pods=1",
        ),
        "a rollout that somebody has paused": (
            see(AS_STARTED, deployment=deployment(1, updatedReplicas=0, paused=True)),
            "False RollingOut: 0 of 1 replicas are up to date, and the rollout is paused",
        ),
        "a new image, where pods that serve say that all is well": (
            see(deployment=deployment(2, updatedReplicas=1)),
            "False RollingOut: 1 of 2 replicas are up to date",
        ),
        "that there are to be more pods is no rollout": (
            see(pod("mx-1"), pod("mx-2", ready=False), deployment=deployment(2, availableReplicas=1)),
            "True Live: 1 of 1 ready pods run this configuration",
        ),
        "a rollout whose time is over, and the new pod's own reason": (
            see(AS_STARTED, NO_IMAGE, deployment=deployment(1, replicas=2, conditions=[STUCK])),
            (
                'False RolloutStuck: ReplicaSet "mx-2" has timed out progressing.: '
                "pod mx-2: ImagePullBackOff: no such image"
            ),
        ),
        "one whose time is over, whatever the pods that serve say": (
            see(pod("mx-1"), deployment=deployment(2, updatedReplicas=1, conditions=[STUCK])),
            'False RolloutStuck: ReplicaSet "mx-2" has timed out progressing.',
        ),
        "a spec that is not accepted, while pods run the one before": (
            refused("Invalid", pods=(pod("mx-1", says=BEFORE), pod("mx-2", says=BEFORE))),
            "Unknown Pending: 2 of 2 ready pods run what was applied last, which is not this spec",
        ),
        "such a spec, while pods do not answer": (
            refused("Invalid", pods=(pod("mx-1", says=BEFORE), pod("mx-2", silent=True))),
            "Unknown Pending: 1 of 2 ready pods run what was applied last, which is not this spec",
        ),
        "a spec that could not be applied": (
            see(pod(says=BEFORE), programmed=Reason("Programmed", "ApplyFailed", "quota")),
            "Unknown Pending: 1 of 1 ready pods run what was applied last, which is not this spec",
        ),
        "a spec that may not be applied": (
            replace(SUSPENDED, pods=(pod(says=BEFORE),)),
            "Unknown Pending: 1 of 1 ready pods run what was applied last, which is not this spec",
        ),
        "suspended as it is": (
            see(pod(says=BEFORE), spec={"management": "Suspended"}),
            "True Live: 1 of 1 ready pods run this configuration",
        ),
        "a spec of which all but a budget could be applied": (
            see(programmed=Reason("Programmed", "ApplyFailed", "PodDisruptionBudget mx: quota")),
            "True Live: 1 of 1 ready pods run this configuration",
        ),
        "a spec that runs, and would not be accepted again": (
            refused("NotPermitted"),
            "True Live: 1 of 1 ready pods run this configuration",
        ),
        "what pods run, at the first visit": (first_visit(), "Unknown Pending: no pod has been started yet"),
    },
    "AddressAssigned": {
        "a Service in the cluster": (see(), "True Assigned: clients have an address to come to"),
        "a load balancer that has given one": (
            see(spec=ASKED_FOR, service=service("LoadBalancer", ingress=[{"hostname": "lb.example.org"}])),
            "True Assigned: clients have an address to come to",
        ),
        "a load balancer that has given none yet": (
            see(spec=ASKED_FOR, service=service("LoadBalancer")),
            "False AddressNotAssigned: the load balancer has no address yet",
        ),
        "none that an invalid spec would change": (
            refused("Invalid", service=service("LoadBalancer")),
            "False AddressNotAssigned: the load balancer has no address yet",
        ),
        "no Service is asked for": (
            see(spec={"service": {"type": "None"}}, service=None),
            "False NoService: spec.service.type is None",
        ),
        "none is asked for any more, and the one that is left is no business of ours": (
            see(spec={"service": {"type": "None"}}),
            "False NoService: spec.service.type is None",
        ),
        "nor is it while something else could not be applied": (
            see(
                spec={"service": {"type": "None"}},
                programmed=NOT_APPLIED,
                before=earlier("AddressAssigned", "False", "NoService"),
            ),
            "False NoService: spec.service.type is None",
        ),
        "none is asked for any more, which is held back": (
            replace(SUSPENDED, gateway=gateway(service={"type": "None"})),
            "True Assigned: clients have an address to come to",
        ),
        "none was ever asked for, and something is held back": (
            replace(SUSPENDED, gateway=gateway(service={"type": "None"}), service=None),
            "False NoService: spec.service.type is None",
        ),
        "there is none yet": (first_visit(), "Unknown Pending: there is no Service yet"),
    },
    "DeliveryDurable": {
        "mail on a claim": (
            see(spec={"routes": [maildir("mail", "mail")]}),
            "True Durable: what was taken is where it outlives the pod",
        ),
        "mail on an emptyDir": (
            see(spec={"routes": [maildir("keeps", "mail"), maildir("one", None), maildir("two", None)]}),
            "False EphemeralMailbox: without a claimName the mail of a route is lost with the pod: one, two",
        ),
        "mail on a claim, as the pods have it": (
            see(spec=ON_CLAIM, deployment=KEEPING),
            "True Durable: what was taken is where it outlives the pod",
        ),
        "a claim that is held back": (
            see(spec=ON_CLAIM, programmed=SUSPENDED.programmed, deployment=PASSING),
            "False EphemeralMailbox: what serves keeps mail without a claim: it is lost with the pod",
        ),
        "or could not be applied, whatever was said before": (
            see(
                spec=ON_CLAIM,
                programmed=NOT_APPLIED,
                deployment=PASSING,
                before=earlier("DeliveryDurable", "True", "Durable"),
            ),
            "False EphemeralMailbox: what serves keeps mail without a claim: it is lost with the pod",
        ),
        "what was said of these pods stands": (
            see(
                spec=ON_CLAIM,
                programmed=NOT_APPLIED,
                deployment=PASSING,
                before=earlier("DeliveryDurable", "False", "EphemeralMailbox", "mail is lost: one"),
            ),
            "False EphemeralMailbox: mail is lost: one",
        ),
        "a claim that old pods have not, while they serve": (
            see(pod("mx-1", loses_mail=True), NO_IMAGE, spec=ON_CLAIM, deployment=KEEPING),
            "False EphemeralMailbox: what serves keeps mail without a claim: it is lost with the pod",
        ),
        "old pods that do not serve any more": (
            see(pod("mx-1", ready=False, loses_mail=True), pod("mx-2"), spec=ON_CLAIM, deployment=KEEPING),
            "True Durable: what was taken is where it outlives the pod",
        ),
        "a claim that is given up, which is held back": (
            see(
                spec=ON_NONE,
                programmed=SUSPENDED.programmed,
                deployment=KEEPING,
                before=earlier("DeliveryDurable", "True", "Durable", "it is durable"),
            ),
            "True Durable: it is durable",
        ),
        "a spec that is held back from the first day": (
            see(spec=ON_CLAIM, programmed=SUSPENDED.programmed, deployment=None),
            "Unknown Pending: the spec is not applied",
        ),
        "the pods of an invalid spec": (
            refused("Invalid", deployment=PASSING),
            "False EphemeralMailbox: what serves keeps mail without a claim: it is lost with the pod",
        ),
        "a stream that one server holds": (
            see(streams("mail StreamNotSynced 1 of 3 replicas", looked="mail"), spec=STREAM),
            "False StreamNotSynced: route mail: 1 of 3 replicas",
        ),
        "one that forgets, though three hold it": (
            see(streams("mail StreamMayDiscard max_age 60 s", looked="mail"), spec=STREAM),
            "False StreamMayDiscard: route mail: max_age 60 s",
        ),
        "both: the worse is said": (
            see(streams("mail StreamMayDiscard b", "mail StreamNotSynced a", looked="mail"), spec=STREAM),
            "False StreamNotSynced: route mail: a",
        ),
        "nothing speaks against it": (
            see(streams(looked="mail"), spec=STREAM),
            "True Durable: what was taken is where it outlives the pod",
        ),
        "nobody has looked at it yet": (
            see(streams(), spec=STREAM),
            "Unknown Pending: no pod has looked at the stream yet of routes: mail",
        ),
        "a pod had looked at it before its server no longer answered": (
            see(
                tries("mail Unreachable no answer in 30 s"),
                spec=STREAM,
                before=same_generation("DeliveryDurable", "True", "Durable", "it is durable"),
            ),
            "True Durable: it is durable",
        ),
        "a pod of before looks at the stream that it had": (
            see(of_before(streams(looked="mail")), spec=STREAM),
            "Unknown Pending: no pod has looked at the stream yet of routes: mail",
        ),
        "what a pod had found of another generation's": (
            see(
                tries("mail Unreachable no answer in 30 s"),
                spec=STREAM,
                before=earlier("DeliveryDurable", "True", "Durable"),
            ),
            "Unknown Pending: no pod has looked at the stream yet of routes: mail",
        ),
        "of an invalid spec nothing new is said: the pods serve what they served": (
            refused("Invalid", before=earlier("DeliveryDurable", "False", "EphemeralMailbox", "mail is lost: one")),
            "False EphemeralMailbox: mail is lost: one",
        ),
        "of a spec that was never accepted nothing is known": (
            refused("Invalid"),
            "Unknown Pending: the spec is not accepted",
        ),
    },
    "DestinationsReachable": {
        "all answer": (
            see(tries("mail Reachable"), spec=ROUTE),
            "True Reachable: the destinations of all routes answer",
        ),
        "one wants another login": (
            see(tries("mail Misconfigured AUTH: 535 5.7.8 no"), spec=ROUTE),
            "False Misconfigured: route mail: AUTH: 535 5.7.8 no",
        ),
        "several, of which a person can mend the second": (
            see(tries("mail Unreachable refused", "out Misconfigured STARTTLS is not offered"), spec=ROUTES),
            "False Misconfigured: route out: STARTTLS is not offered; route mail: refused",
        ),
        "one does not answer": (
            see(tries("mail Reachable", "out Unreachable no answer in 30 s"), spec=ROUTES),
            "False Unreachable: route out: no answer in 30 s",
        ),
        "one does not answer one of the pods": (
            see(tries("mail Reachable"), tries("mail Unreachable refused", name="mx-2"), spec=ROUTE),
            "False Unreachable: route mail (1 of 2 pods): refused",
        ),
        "a pod that has just begun has not tried yet, another one has": (
            see(tries("mail Reachable"), tries("mail Unknown", name="mx-2"), spec=ROUTE),
            "True Reachable: the destinations of all routes answer",
        ),
        "no pod has tried": (
            see(tries("mail Reachable", "out Unknown"), spec=ROUTES),
            "Unknown Pending: no pod has said yet of routes: out",
        ),
        "an image of before does not say": (see(spec=ROUTE), "Unknown Pending: no pod has said yet of routes: mail"),
        "what a pod says of routes that are gone": (
            see(tries("mail Reachable", "old Unreachable refused"), spec=ROUTE),
            "True Reachable: the destinations of all routes answer",
        ),
        "a pod with an earlier configuration, beside one that is live": (
            see(tries("mail Unreachable refused", digest=OLD), tries("mail Reachable", name="mx-2"), spec=ROUTE),
            "True Reachable: the destinations of all routes answer",
        ),
        "a pod of before reaches what the route led to when it was started": (
            see(of_before(tries("mail Reachable")), spec=ROUTE),
            "Unknown Pending: no pod has said yet of routes: mail",
        ),
        "one that takes the change up in a moment": (
            see(tries("mail Reachable", digest=OLD), spec=ROUTE),
            "Unknown Pending: no pod has said yet of routes: mail",
        ),
        "what it does not reach mail waits for": (
            see(of_before(tries("mail Unreachable refused")), tries("mail Reachable", name="mx-2"), spec=ROUTE),
            "False Unreachable: route mail (1 of 2 pods): refused",
        ),
        "of an invalid spec: the pods serve what they served": (
            refused("Invalid", pods=(tries("old Unreachable refused"),)),
            "False Unreachable: route old: refused",
        ),
        "likewise, which answers": (
            refused("Invalid", pods=(of_before(tries("old Reachable"), generation=2),)),
            "True Reachable: the destinations of all routes answer",
        ),
        "of one that is held back": (
            replace(SUSPENDED, gateway=gateway(**ROUTE), pods=(of_before(tries("old Reachable"), generation=2),)),
            "True Reachable: the destinations of all routes answer",
        ),
        "nobody tries": (
            see(pod(ready=False)),
            "Unknown NoReplicaReady: no replica is ready, and pods are what tries",
        ),
        "there is no pod yet": (first_visit(), "Unknown Pending: no pod has been started yet"),
    },
    "Ready": {
        "a destination that does not answer is for information": (
            see(tries("mail Unreachable refused"), spec=ROUTE),
            "True Ready: 1 of 1 replicas serve generation 3",
        ),
        "all is well": (see(pod("mx-1"), pod("mx-2")), "True Ready: 2 of 2 replicas serve generation 3"),
        "a mailbox that does not outlive the pod is for information": (
            see(spec={"routes": [maildir("one", None)]}),
            "True Ready: 1 of 1 replicas serve generation 3",
        ),
        "pods that do not answer take mail all the same": (
            see(pod("mx-1"), pod("mx-2", silent=True)),
            "True Ready: 2 of 2 replicas are ready; not all of them say whether they serve generation 3",
        ),
        "an invalid spec comes before whatever else there is": (
            refused("Invalid", "spec.hostname: required", pods=(pod(says=report(missing=(NO_KEY,))),)),
            "False Invalid: spec.hostname: required",
        ),
        "a missing Secret comes before pods that are not ready for it": (
            see(pod(ready=False, says=report(missing=(NO_KEY,))), spec=TLS),
            "False SecretKeyMissing: Secret mx-tls (spec.tls.certificateRefs[0]) has no key tls.key",
        ),
        "suspended": (SUSPENDED, "False Suspended: Service mx would change"),
        "a new port whose pod does not start, while the old one serves": (
            see(AS_STARTED, NO_IMAGE, deployment=deployment(1, replicas=2, conditions=[STUCK])),
            (
                'False RolloutStuck: ReplicaSet "mx-2" has timed out progressing.: '
                "pod mx-2: ImagePullBackOff: no such image"
            ),
        ),
        "nobody can come without an address": (
            see(spec=ASKED_FOR, service=service("LoadBalancer")),
            "False AddressNotAssigned: the load balancer has no address yet",
        ),
        "who asked for no Service needs none": (
            see(spec={"service": {"type": "None"}}, service=None),
            "True Ready: 1 of 1 replicas serve generation 3",
        ),
        "children that could not be applied come before pods": (
            see(pod(ready=False), programmed=Reason("Programmed", "ApplyFailed", "quota")),
            "False ApplyFailed: quota",
        ),
        "no replica": (see(spec={"replicas": 0}, pods=(), deployment=QUIET), "False ScaledToZero: spec.replicas is 0"),
        "a configuration that did not load": (
            see(pod(says=report(OLD, reload_error="bad"))),
            "False ReloadFailed: pod mx-1: bad",
        ),
        "what is False comes before what is not known": (
            see(pod("mx-1", silent=True), pod("mx-2", says=report(OLD)), spec=TLS),
            "False Propagating: 0 of 2 ready pods run this configuration",
        ),
        "the first visit": (first_visit(), "Unknown Pending: the children are not written yet"),
        "references that are there, of which pods say no more": (
            see(pod(silent=True), spec=TLS, before=same_generation("ResolvedRefs", "True", "ResolvedRefs")),
            "True Ready: 1 of 1 replicas are ready; not all of them say whether they serve generation 3",
        ),
        "references that nobody has looked for": (
            see(pod(silent=True), spec=TLS),
            "Unknown Unknown: no pod has said what it finds of this configuration",
        ),
    },
    "Stalled": {
        **{
            f"waiting does not help with {reason}": (refused(reason, "a fault"), f"True {reason}: a fault")
            for reason in ("Invalid", "NotPermitted", "UnsupportedField", "ConfigTooLarge", "ClaimNotShared")
        },
        **{
            f"nor with {reason}": (
                see(programmed=Reason("Programmed", reason, "a conflict")),
                f"True {reason}: a conflict",
            )
            for reason in ("ChildConflict", "ImmutableField")
        },
        "nor where the API server will refuse the same again": (
            see(programmed=Reason("Programmed", "ApplyFailed", "limits below requests", hopeless=True)),
            "True ApplyFailed: limits below requests",
        ),
    },
    "Reconciling": {
        "children are being written": (first_visit(), "True Pending: the children are not written yet"),
        "what the API server refused is tried again": (
            see(programmed=Reason("Programmed", "ApplyFailed", "quota")),
            "True ApplyFailed: quota",
        ),
        "a Deployment that is not there": (
            see(pods=(), deployment=None),
            "True RollingOut: there is no Deployment yet",
        ),
        "a Deployment that its controller has not looked at": (
            see(deployment=deployment(seen=6)),
            "True RollingOut: the Deployment has changed, and its controller has not looked yet",
        ),
        "pods of before that have no successor yet": (
            see(deployment=deployment(3, updatedReplicas=1)),
            "True RollingOut: 1 of 3 replicas are up to date",
        ),
        "pods of before that have one": (
            see(deployment=deployment(3, replicas=5)),
            "True RollingOut: 2 replicas of before are still to go",
        ),
        "pods that are not available": (
            see(deployment=deployment(3, availableReplicas=2)),
            "True RollingOut: 2 of 3 replicas are available",
        ),
        "a configuration on its way into the pods": (
            see(pod("mx-1"), pod("mx-2", says=report(OLD))),
            "True Propagating: 1 of 2 ready pods run this configuration",
        ),
        "a pod that has still to be replaced": (
            see(AS_STARTED),
            "True RollingOut: these serve on as they were started: mx-1",
        ),
    },
}

REASONS = {
    kind: {"True": {row.true}, "False": set(row.false), "Unknown": set(row.unknown)} for kind, row in TABLE.items()
}
ORDER = ["Ready", *TABLE]


EVERY = {f"{kind}: {case}": (kind, *facts) for kind, cases in CASES.items() for case, facts in cases.items()}


def every_case(test):
    return pytest.mark.parametrize("seen", table({case: seen for case, (_, seen, _) in EVERY.items()}))(test)


@pytest.mark.parametrize("kind, seen, says", table(EVERY))
def test_each_condition_has_its_reason(kind, seen, says):
    """And a message for a person."""
    condition = conditions(seen)[kind]

    assert "{status} {reason}: {message}".format(**condition) == says
    assert condition["observedGeneration"] == 3


def test_every_reason_of_the_contract_is_in_the_table_above():
    """And no other, with the same status; Ready, Stalled and Reconciling take theirs from these."""
    shown = {kind: {says.partition(":")[0] for _, says in cases.values()} for kind, cases in CASES.items()}

    for kind, states in REASONS.items():
        assert shown[kind] == {f"{state} {reason}" for state, reasons in states.items() for reason in reasons}
    assert shown["Stalled"] == {f"True {reason}" for reason in (*STALLS, "ApplyFailed")}


@every_case
def test_conditions_stand_in_a_fixed_order(seen):
    """The sum first; Reconciling or Stalled last, and never both."""
    kinds = [condition["type"] for condition in status(seen, NOW)["conditions"]]

    assert kinds[: len(ORDER)] == ORDER
    assert kinds[len(ORDER) :] in ([], ["Reconciling"], ["Stalled"])


@every_case
def test_reasons_are_of_the_contract_whatever_happens(seen):
    """No condition has a reason that is not its own, and Ready one of those that it sums up."""
    found = conditions(seen)

    for kind, states in REASONS.items():
        assert found[kind]["reason"] in states[found[kind]["status"]]
    others = {(condition["status"], condition["reason"]) for kind, condition in found.items() if kind != "Ready"}
    assert (found["Ready"]["status"], found["Ready"]["reason"]) in others | {("True", "Ready")}


@pytest.mark.parametrize(
    "seen",
    table(
        {
            "all is well": see(),
            "a node's address in a pod, which is no fault that lasts for ever": refused("BindAddressUnavailable"),
            "a rollout that has taken too long": see(AS_STARTED, deployment=deployment(conditions=[STUCK])),
            "suspended, while an earlier rollout goes on": replace(SUSPENDED, deployment=deployment(3, replicas=5)),
            "a missing Secret, which may still come": see(pod(says=report(missing=(NO_KEY,))), spec=TLS),
            "scaled to zero": see(spec={"replicas": 0}, pods=(), deployment=QUIET),
        }
    ),
)
def test_neither_reconciling_nor_stalled_is_there_unless_true(seen):
    assert conditions(seen).keys() == set(ORDER)


# --- what tools make of it


def kstatus(document):
    """What Flux and cli-utils read: known-traps.md, "Reading health"."""
    found = {one["type"]: one["status"] for one in document.get("status", {}).get("conditions", ())}
    if "deletionTimestamp" in document["metadata"]:
        return "Terminating"
    observed = document.get("status", {}).get("observedGeneration", document["metadata"]["generation"])
    if observed != document["metadata"]["generation"] or found.get("Reconciling") == "True":
        return "InProgress"
    if found.get("Stalled") == "True":
        return "Failed"
    return "Current" if found.get("Ready", "True") == "True" else "InProgress"


@pytest.mark.parametrize(
    "seen, health",
    table(
        {
            "the first visit: without a status it would be Current": (first_visit(), "InProgress"),
            "all is well": (see(), "Current"),
            "mail is taken, and the rollout goes on": (see(deployment=deployment(3, replicas=5)), "InProgress"),
            "a configuration on its way": (see(pod(says=report(OLD))), "InProgress"),
            "a spec that can never work": (refused("Invalid"), "Failed"),
            "and never did": (first_visit(gateway=None, accepted=Reason("Accepted", "Invalid", "bad")), "Failed"),
            "an object of that name that is not ours": (
                see(programmed=Reason("Programmed", "ChildConflict", "")),
                "Failed",
            ),
            "a Secret that may still come": (see(pod(says=report(missing=(NO_KEY,))), spec=TLS), "InProgress"),
            "suspended": (SUSPENDED, "InProgress"),
            "a pod that does not answer and takes mail": (see(pod(silent=True)), "Current"),
        }
    ),
)
def test_kstatus_reads_it_right(seen, health):
    """`flux --wait` waits for what may come, and gives up on what cannot."""
    assert kstatus({"metadata": seen.metadata, "status": status(seen, NOW)}) == health
    assert kstatus({"metadata": seen.metadata}) == "Current"


# --- the same facts, the same status


@every_case
def test_the_order_of_pods_changes_nothing(seen):
    """Shuffled, and shuffled with what each of them reports."""
    chance = random.Random(5321)
    expected = status(seen, NOW)
    for _ in range(5):
        pods = [one if one.report is None else replace(one, report=shuffled(one.report, chance)) for one in seen.pods]
        chance.shuffle(pods)

        assert status(replace(seen, pods=tuple(pods)), NOW) == expected


def shuffled(said, chance):
    lists = {name: getattr(said, name) for name in ("missing", "destinations", "not_durable")}
    return replace(said, **{name: tuple(chance.sample(found, len(found))) for name, found in lists.items()})


@every_case
def test_looking_again_changes_nothing(seen):
    """Later, with the status written: the identical object, in its JSON too, so that there is nothing to write."""
    written = status(seen, NOW)
    again = status(replace(seen, before=written), LATER)

    assert json.dumps(again) == json.dumps(written)


def test_a_condition_is_as_old_as_its_status():
    """Another reason or message makes it no younger; another status does."""
    before = status(see(pod("mx-1"), pod("mx-2", ready=False)), THEN)
    same = conditions(see(pod("mx-1"), pod("mx-2"), before=before))
    other = conditions(see(pod("mx-1", ready=False), pod("mx-2", ready=False), before=before))

    assert (same["Available"]["lastTransitionTime"], other["Available"]["lastTransitionTime"]) == (THEN, NOW)
    assert (same["Accepted"]["lastTransitionTime"], other["Accepted"]["lastTransitionTime"]) == (THEN, THEN)
    assert other["Ready"]["lastTransitionTime"] == NOW


def test_a_condition_that_was_away_is_new():
    """Reconciling is absent unless True."""
    under_way = see(deployment=deployment(3, replicas=5))
    first = status(under_way, THEN)
    between = status(replace(under_way, before=first, deployment=deployment()), NOW)

    assert conditions(replace(under_way, before=between), LATER)["Reconciling"]["lastTransitionTime"] == LATER


# --- what is beside the conditions


def test_all_of_it():
    """As in contract/inboundsmtp.yaml, for a gateway like the one there."""
    spec = {
        "replicas": 2,
        "listeners": [{"name": "smtp", "port": 25}, {"name": "submission", "port": 587}],
        "service": {"type": "LoadBalancer"},
    } | TLS
    said = report(
        certificates=(
            {"secretName": "other-tls", "serialNumber": "0A", "notAfter": EXPIRY},
            {"secretName": "mx-tls", "serialNumber": "4F", "notAfter": EXPIRY},
        ),
        missing=({**NO_KEY, "name": "other-tls", "field": "spec.tls.certificateRefs[1]"},),
    )
    seen = see(
        pod("mx-1", says=said, ports=(25, 587)),
        pod("mx-2", says=said),
        spec=spec,
        service=service("LoadBalancer", ingress=[{"ip": "192.0.2.25"}], node_ports={"smtp": 30025}),
    )
    made = status(seen, NOW)

    del made["conditions"]
    assert made == {
        "observedGeneration": 3,
        "replicas": 2,
        "readyReplicas": 2,
        "selector": "mailport.dev/inboundsmtp=mx",
        "configHash": HASH,
        "ports": "25,587",
        "addresses": [{"type": "IPAddress", "value": "192.0.2.25"}],
        "listeners": [
            {"name": "smtp", "port": 25, "nodePort": 30025, "ready": True},
            {"name": "submission", "port": 587, "ready": True},
        ],
        "certificates": [
            {"secretName": "mx-tls", "serialNumber": "4F", "notAfter": EXPIRY},
            {"secretName": "other-tls", "serialNumber": "0A", "notAfter": EXPIRY},
        ],
        "missing": [
            {"kind": "Secret", "name": "other-tls", "key": "tls.key", "field": "spec.tls.certificateRefs[1]"},
        ],
    }


ON_HOST = {"network": {"hostNetwork": True}, "service": {"type": "None"}}
NODES = (
    pod("mx-1", hosts=("192.0.2.2", "2001:db8::2")),
    pod("mx-2", hosts=("192.0.2.1",)),
    pod("mx-3", hosts=("192.0.2.1",)),
    pod("mx-4", ready=False, hosts=("192.0.2.4",)),
)


@pytest.mark.parametrize(
    "seen, addresses",
    table(
        {
            "the load balancer's, addresses and names, each once and sorted": (
                see(
                    service=service(
                        "LoadBalancer",
                        ingress=[
                            {"ip": "192.0.2.26"},
                            {"hostname": "lb.example.org"},
                            {"ip": "192.0.2.25"},
                            {"ip": "192.0.2.26"},
                        ],
                    )
                ),
                ["IPAddress 192.0.2.25", "IPAddress 192.0.2.26", "Hostname lb.example.org"],
            ),
            "one that has both is its address": (
                see(service=service("LoadBalancer", ingress=[{"ip": "192.0.2.25", "hostname": "lb.example.org"}])),
                ["IPAddress 192.0.2.25"],
            ),
            "a load balancer that is still to come": (
                see(spec=ASKED_FOR, service=service("LoadBalancer", ingress=[])),
                [],
            ),
            "both families of the cluster": (
                see(service=service(ips=("fd00::25", "10.96.0.25"))),
                ["IPAddress 10.96.0.25", "IPAddress fd00::25"],
            ),
            "the nodes of ready pods": (
                see(*NODES, spec=ON_HOST, service=None, deployment=deployment(4, host_network=True)),
                ["IPAddress 192.0.2.1", "IPAddress 192.0.2.2", "IPAddress 2001:db8::2"],
            ),
            "a headless Service has none": (see(service=service(ips=("None",))), []),
            "pods on a network of their own have none to offer": (
                see(*NODES, spec={"service": {"type": "None"}}, service=None),
                [],
            ),
            "no more than sixteen": (
                see(service=service(ingress=[{"ip": f"192.0.2.{number}"} for number in range(100, 120)])),
                [f"IPAddress 192.0.2.{number}" for number in range(100, 116)],
            ),
            "of an invalid spec, those that serve on": (
                refused("Invalid", pods=NODES, service=None, deployment=deployment(4, host_network=True)),
                ["IPAddress 192.0.2.1", "IPAddress 192.0.2.2", "IPAddress 2001:db8::2"],
            ),
        }
    ),
)
def test_addresses_are_where_mail_can_be_sent(seen, addresses):
    """The load balancer's, else the cluster's, else the nodes'."""
    assert [f"{one['type']} {one['value']}" for one in status(seen, NOW)["addresses"]] == addresses


@pytest.mark.parametrize(
    "seen, ready",
    table(
        {
            "a ready pod listens": (see(), True),
            "the pods of before do not listen there yet": (see(pod(ports=(2525,))), False),
            "one new pod does": (see(pod("mx-1", ports=(2525,)), pod("mx-2")), True),
            "the pod is not ready": (see(pod(ready=False)), False),
        }
    ),
)
def test_a_listener_is_ready_where_a_ready_pod_listens(seen, ready):
    assert status(seen, NOW)["listeners"] == [{"name": "smtp", "port": 25, "ready": ready}]


def test_an_invalid_spec_keeps_what_still_serves():
    """Ports and configuration from before; how many pods and how they are, as seen now."""
    before = status(see(), THEN)
    made = status(refused("Invalid", before=before, config_hash=None, pods=(pod(ready=False),)), NOW)

    kept = ("selector", "configHash", "ports", "addresses")
    assert {field: made[field] for field in kept} == {field: before[field] for field in kept}
    assert made["listeners"] == [{"name": "smtp", "port": 25, "ready": False}]
    assert (made["observedGeneration"], made["replicas"], made["readyReplicas"]) == (3, 1, 0)


def test_of_a_spec_that_was_never_accepted_there_is_little_to_say():
    """And nothing is made up."""
    made = status(first_visit(gateway=None, accepted=Reason("Accepted", "Invalid", "bad")), NOW)

    del made["conditions"]
    assert made == {
        "observedGeneration": 3,
        "replicas": 0,
        "readyReplicas": 0,
        "selector": "mailport.dev/inboundsmtp=mx",
        "addresses": [],
        "listeners": [],
        "certificates": [],
        "missing": [],
    }


def certificate(number, name="mx-tls"):
    return {"secretName": name, "serialNumber": number, "notAfter": EXPIRY}


@pytest.mark.parametrize(
    "seen, numbers",
    table(
        {
            "a ready pod with the current configuration, the first by name": (
                see(
                    pod("mx-1", ready=False, says=report(certificates=(certificate("01"),))),
                    pod("mx-2", says=report(OLD, certificates=(certificate("02"),))),
                    pod("mx-4", says=report(certificates=(certificate("04"),))),
                    pod("mx-3", says=report(certificates=(certificate("03"),))),
                    spec=TLS,
                ),
                ["03"],
            ),
            "any other pod, where there is none": (
                see(pod(ready=False, says=report(OLD, certificates=(certificate("01"),))), spec=TLS),
                ["01"],
            ),
            "no pod answers": (see(pod(silent=True), spec=TLS), []),
            "of a Secret that the spec no longer names": (see(pod(says=report(certificates=(certificate("01"),)))), []),
            "in the listener's order, where the spec is invalid": (
                refused(
                    "Invalid", pods=(pod(says=report(certificates=(certificate("02", "b"), certificate("01", "a")))),)
                ),
                ["02", "01"],
            ),
        }
    ),
)
def test_certificates_are_those_that_are_served(seen, numbers):
    assert [one["serialNumber"] for one in status(seen, NOW)["certificates"]] == numbers


def test_what_several_pods_miss_is_listed_once_in_the_order_of_fields():
    """Fields count as people do: the tenth route comes after the second."""
    webhook = {"url": "https://hook.example.org/", "signingSecretRef": {"name": "hook", "key": "key"}}
    routes = [
        {"name": f"r{n}", "recipients": [f"*@r{n}.example.org"], "deliver": {"webhook": webhook}} for n in range(11)
    ]
    fields = [f"spec.routes[{n}].deliver.webhook.signingSecretRef" for n in (10, 2, 1)]
    missed = [{"kind": "Secret", "name": "hook", "key": "key", "field": field} for field in fields]
    claim = {"kind": "PersistentVolumeClaim", "name": "mail", "field": "spec.routes[3].deliver.maildir.claimName"}
    seen = see(
        pod("mx-1", says=report(missing=tuple(missed))),
        pod("mx-2", says=report(missing=tuple(missed[:2]))),
        spec={"routes": routes},
        missing_claims=(claim,),
    )

    assert status(seen, NOW)["missing"] == [missed[2], missed[1], claim, missed[0]]


# --- what the API server would refuse


def violations(value, of, path="status"):
    """What of a value is not as the schema has it: what apiextensions checks, and what it would silently drop."""
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    if type(value) is not kinds[of["type"]]:
        return [f"{path}: not of type {of['type']}"]
    found = []
    match value:
        case dict():
            found += [f"{path}.{name}: required" for name in of.get("required", ()) if name not in value]
            found += [f"{path}.{name}: unknown" for name in value if name not in of["properties"]]
            for name in value.keys() & of["properties"].keys():
                found += violations(value[name], of["properties"][name], f"{path}.{name}")
        case list():
            found += [f"{path}: too many items"] if len(value) > of["maxItems"] else []
            for number, item in enumerate(value):
                found += violations(item, of["items"], f"{path}[{number}]")
        case str():
            value.encode()  # a lone surrogate is no UTF-8
            found += [f"{path}: length"] if not of.get("minLength", 0) <= len(value) <= of.get("maxLength", 64) else []
            found += [f"{path}: not one of {of['enum']}"] if value not in of.get("enum", [value]) else []
            found += [f"{path}: no time"] if of.get("format") == "date-time" and not is_time(value) else []
        case int():
            found += [f"{path}: out of bounds"] if not of.get("minimum", 0) <= value <= of.get("maximum", 2**63) else []
    return found


def is_time(text):
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


@cache
def of_status():
    return schema()["properties"]["status"]


def largest():
    """All that a spec can ask for, and a pod of which nothing is found."""
    ports = [{"name": f"listener-{n:06}", "port": 65535 - n} for n in range(16)]
    names = [f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 58}{n:03}" for n in range(64)]
    nats = {"url": "nats://nats.mail.svc", "stream": "MAIL", "subject": "mail"}
    routes = [
        {
            "name": "r" * 60 + f"{n:03}",
            "recipients": [f"*@r{n}.example.org"],
            "deliver": {"nats": nats | {"credentialsSecretRef": {"name": name}}},
        }
        for n, name in enumerate(names)
    ]
    keys = ("creds", "nkey", "token", "username", "password")
    field = "spec.routes[{}].deliver.nats.credentialsSecretRef"
    said = report(
        certificates=tuple(certificate("A" * 64, name) for name in names),
        missing=tuple(
            {"kind": "Secret", "name": name, "key": key, "field": field.format(n)}
            for n, name in enumerate(names)
            for key in keys
        ),
        reload_error="ä" * 5000,
    )
    return see(
        *(pod(f"mx-{n}", says=said, hosts=(f"2001:db8::{n}",)) for n in range(30)),
        spec={
            "listeners": ports,
            "tls": {"certificateRefs": [{"name": name} for name in names[:16]]},
            "routes": routes,
        },
        service=None,
        deployment=deployment(30, host_network=True),
    )


HOSTILE = report(
    "x" * 1000,
    certificates=(
        {"secretName": "mx-tls", "serialNumber": "not hexadecimal", "notAfter": "tomorrow"},
        {"secretName": "other-tls", "serialNumber": "F" * 65, "notAfter": "2027-13-01T00:00:00Z"},
        {"secretName": "A" * 300},
        {},
    ),
    missing=(
        {"kind": "Secret", "name": "mx-tls", "key": "k" * 254, "field": "f" * 513},
        {"kind": "Secret", "name": "mx-tls", "key": "\ud800", "field": "<b>"},
        {"kind": "Secret", "name": "A" * 300},
        {"kind": "Secret", "name": "somebody-elses"},
        {"kind": "Pod", "name": "mx-tls"},
        {},
    ),
    reload_error="\ud800\x00\x1b[2J" + "long " * 10_000,
)


@every_case
def test_each_status_fits_the_schema(seen):
    """The API server takes it, and drops nothing of it."""
    assert violations(status(seen, NOW), of_status()) == []


def test_the_largest_status_fits_the_schema():
    """With every list at its bound, and messages that can still be read."""
    made = status(largest(), NOW)

    assert violations(made, of_status()) == []
    assert [len(made[field]) for field in ("listeners", "addresses", "certificates", "missing")] == [16, 16, 16, 256]
    assert len(made["ports"]) == 95
    assert max(len(one["message"]) for one in made["conditions"]) == 2100


def test_a_spec_with_many_faults_says_to_the_end_how_many():
    """As admit.py cuts them: Accepted, Ready and Stalled have it whole."""
    message = "x" * MAX_MESSAGE + "; and 160 more"
    found = conditions(refused("Invalid", message))

    assert [found[kind]["message"] for kind in ("Accepted", "Ready", "Stalled")] == [message] * 3


@pytest.mark.parametrize("accepted", table({"a good spec": True, "an invalid spec": False}))
def test_whatever_a_pod_says_fits_the_schema(accepted):
    """An author may run any image; what it says must not keep the operator from writing status."""
    said = replace(HOSTILE, hash=HASH)
    seen = see(pod(says=said), spec=TLS) if accepted else refused("Invalid", pods=(pod(says=said),))
    made = status(seen, NOW)

    assert violations(made, of_status()) == []
    assert {"secretName": "mx-tls"} in made["certificates"]
    assert {"kind": "Secret", "name": "mx-tls"} in made["missing"]
    assert ({"kind": "Secret", "name": "somebody-elses"} in made["missing"]) is not accepted


@pytest.mark.parametrize(
    "change, fault",
    table(
        {
            "a field that is unknown": ({"phase": "Running"}, "status.phase: unknown"),
            "a number as text": ({"replicas": "2"}, "status.replicas: not of type integer"),
            "a number below its bound": ({"replicas": -1}, "status.replicas: out of bounds"),
            "a text that is too long": ({"configHash": "a" * 65}, "status.configHash: length"),
            "an item without what it needs": (
                {"listeners": [{"name": "a", "port": 1}]},
                "status.listeners[0].ready: required",
            ),
            "a choice that there is not": (
                {"addresses": [{"type": "URL", "value": "a"}]},
                "status.addresses[0].type: not one of ['IPAddress', 'Hostname']",
            ),
            "a time that is none": (
                {"certificates": [{"secretName": "a", "notAfter": "2027-02-30T00:00:00Z"}]},
                "status.certificates[0].notAfter: no time",
            ),
            "too many items": ({"missing": [{"kind": "Secret", "name": "a"}] * 257}, "status.missing: too many items"),
        }
    ),
)
def test_a_status_that_does_not_fit_is_found(change, fault):
    """The check above sees what it is there to see."""
    assert violations(status(see(), NOW) | change, of_status()) == [fault]
