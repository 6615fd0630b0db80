"""Each condition with each of its reasons: what was observed, and what the condition then says."""

from dataclasses import replace

import pytest

from mailport.operator.reason import TABLE, Reason
from tests.operator.making import gateway, maildir
from tests.operator.report.observing import (
    AS_STARTED,
    ASKED_FOR,
    BEFORE,
    CA,
    NO_CA,
    NO_CHAIN,
    NO_CLAIM,
    NO_IMAGE,
    NO_KEY,
    NO_USERS,
    NOT_APPLIED,
    OLD,
    REFUSED,
    ROUTE,
    ROUTES,
    STREAM,
    STUCK,
    TLS,
    USERS,
    deployment,
    earlier,
    first_visit,
    of_before,
    pod,
    refused,
    report,
    same_generation,
    see,
    service,
    streams,
    tries,
)
from tests.tables import table

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
        "objects that are as they should be": (see(), "True Programmed: all objects are as they should be"),
        "objects that are on their way": (first_visit(), "Unknown Pending: not applied yet"),
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
            "Unknown PodsUnreachable: these pods do not answer on the admin port: mx-2",
        ),
        "no ready pod": (see(pod("mx-1", ready=False)), "Unknown PodsUnreachable: no pod is ready"),
        "a pod that listens as it was started, until another takes its place": (
            see(AS_STARTED),
            "False RollingOut: these pods need a restart to use the new configuration: mx-1",
        ),
        "a new pod that does not start yet, and why": (
            see(AS_STARTED, NO_IMAGE, deployment=deployment(1, replicas=2)),
            "False RollingOut: 1 of 1 replicas are up to date: pod mx-2: ImagePullBackOff: no such image",
        ),
        "a rollout whose time is over, beside a pod that serves and crashed once": (
            see(pod("mx-0", trouble="OOMKilled"), NO_IMAGE, deployment=deployment(1, replicas=2, conditions=[STUCK])),
            (
                'False RolloutStuck: ReplicaSet "mx-2" has timed out progressing.: '
                "pod mx-2: ImagePullBackOff: no such image"
            ),
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
        "a Service in the cluster": (see(), "True Assigned: the gateway has an address"),
        "a load balancer that has given one": (
            see(spec=ASKED_FOR, service=service("LoadBalancer", ingress=[{"hostname": "lb.example.org"}])),
            "True Assigned: the gateway has an address",
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
            "True Assigned: the gateway has an address",
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
            "True Durable: accepted mail outlives the pod",
        ),
        "mail on an emptyDir": (
            see(spec={"routes": [maildir("keeps", "mail"), maildir("one", None), maildir("two", None)]}),
            "False EphemeralMailbox: without a claimName the mail of a route is lost with the pod: one, two",
        ),
        "mail on a claim, as the pods have it": (
            see(spec=ON_CLAIM, deployment=KEEPING),
            "True Durable: accepted mail outlives the pod",
        ),
        "a claim that is held back": (
            see(spec=ON_CLAIM, programmed=SUSPENDED.programmed, deployment=PASSING),
            "False EphemeralMailbox: running pods keep mail on an emptyDir: it is lost with the pod",
        ),
        "or could not be applied, whatever was said before": (
            see(
                spec=ON_CLAIM,
                programmed=NOT_APPLIED,
                deployment=PASSING,
                before=earlier("DeliveryDurable", "True", "Durable"),
            ),
            "False EphemeralMailbox: running pods keep mail on an emptyDir: it is lost with the pod",
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
            "False EphemeralMailbox: running pods keep mail on an emptyDir: it is lost with the pod",
        ),
        "old pods that do not serve any more": (
            see(pod("mx-1", ready=False, loses_mail=True), pod("mx-2"), spec=ON_CLAIM, deployment=KEEPING),
            "True Durable: accepted mail outlives the pod",
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
            "False EphemeralMailbox: running pods keep mail on an emptyDir: it is lost with the pod",
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
            "True Durable: accepted mail outlives the pod",
        ),
        "nobody has looked at it yet": (
            see(streams(), spec=STREAM),
            "Unknown Pending: no pod has checked the stream yet for routes: mail",
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
            "Unknown Pending: no pod has checked the stream yet for routes: mail",
        ),
        "what a pod had found of another generation's": (
            see(
                tries("mail Unreachable no answer in 30 s"),
                spec=STREAM,
                before=earlier("DeliveryDurable", "True", "Durable"),
            ),
            "Unknown Pending: no pod has checked the stream yet for routes: mail",
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
            "Unknown Pending: no pod has reported yet on the destinations of routes: out",
        ),
        "an image of before does not say": (
            see(spec=ROUTE),
            "Unknown Pending: no pod has reported yet on the destinations of routes: mail",
        ),
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
            "Unknown Pending: no pod has reported yet on the destinations of routes: mail",
        ),
        "one that takes the change up in a moment": (
            see(tries("mail Reachable", digest=OLD), spec=ROUTE),
            "Unknown Pending: no pod has reported yet on the destinations of routes: mail",
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
            "Unknown NoReplicaReady: no replica is ready, so no destination is checked",
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
        "the first visit": (first_visit(), "Unknown Pending: not applied yet"),
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
        "children are being written": (first_visit(), "True Pending: not applied yet"),
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
            "True RollingOut: these pods need a restart to use the new configuration: mx-1",
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
