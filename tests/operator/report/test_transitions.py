"""Which changes of a status become Events, and which do not."""

from dataclasses import replace

import pytest

from mailport.operator.reason import Reason
from mailport.operator.report.status import status
from mailport.operator.report.transitions import Event, transitions
from tests.operator.report.condition_cases import QUIET, REASONS
from tests.operator.report.observing import (
    AS_STARTED,
    HASH,
    LATER,
    NO_IMAGE,
    NO_KEY,
    NOW,
    OLD,
    PENDING,
    STUCK,
    TLS,
    deployment,
    first_visit,
    pod,
    refused,
    report,
    see,
)
from tests.tables import table

# Of those that are False: what passes by itself, and what somebody asked for
NO_EVENT = {"Propagating", "RollingOut", "NoService"}
NORMAL = {"Suspended"}


def said(*lines):
    """A status of conditions, each as `Accepted False Invalid: message`."""
    conditions = []
    for line in lines:
        facts, _, message = line.partition(": ")
        kind, state, reason = facts.split()
        conditions.append({"type": kind, "status": state, "reason": reason, "message": message})
    return {"conditions": conditions}


def events(before, after):
    return [f"{one.type} {one.reason}: {one.message}" for one in transitions(before, after)]


@pytest.mark.parametrize(
    "before, after, expected",
    table(
        {
            "the first visit finds a fault": (
                {},
                said("Accepted False Invalid: spec.hostname: required", "Ready False Invalid: spec.hostname: required"),
                ["Warning Invalid: spec.hostname: required"],
            ),
            "the first visit finds nothing to say": (
                {},
                said("Accepted True Accepted: ok", "Programmed Unknown Pending: soon", "Ready Unknown Pending: soon"),
                [],
            ),
            "mail is taken for the first time": (
                said("Ready Unknown Pending: soon"),
                said("Ready True Ready: 1 of 1 replicas serve generation 1"),
                ["Normal Ready: 1 of 1 replicas serve generation 1"],
            ),
            "and with more replicas": (
                said("Ready True Ready: 1 of 1 replicas serve generation 1"),
                said("Ready True Ready: 2 of 2 replicas serve generation 2"),
                [],
            ),
            "another fault of the spec": (
                said("Accepted False Invalid: spec.hostname: required"),
                said("Accepted False Invalid: spec.routes: required"),
                ["Warning Invalid: spec.routes: required"],
            ),
            "another object that is not ours": (
                said("Programmed False ChildConflict: Service mx is not ours"),
                said("Programmed False ChildConflict: Deployment mx is not ours"),
                ["Warning ChildConflict: Deployment mx is not ours"],
            ),
            "the same fault, looked at again": (
                said("Accepted False Invalid: spec.hostname: required"),
                said("Accepted False Invalid: spec.hostname: required"),
                [],
            ),
            "the spec is as large as before, or a little larger": (
                said("Accepted False ConfigTooLarge: 1048577 bytes"),
                said("Accepted False ConfigTooLarge: 1048580 bytes"),
                [],
            ),
            "one more thing is missing of the same kind": (
                said("ResolvedRefs False SecretNotFound: mx-tls"),
                said("ResolvedRefs False SecretNotFound: mx-tls; mx-users"),
                [],
            ),
            "something worse is missing": (
                said("ResolvedRefs False SecretNotFound: mx-tls"),
                said("ResolvedRefs False ClaimNotFound: mail"),
                ["Warning ClaimNotFound: mail"],
            ),
            "pods that were not ready yet": (
                said("Available Unknown Pending: no pod"),
                said("Available False NoReplicaReady: 0 of 1"),
                [],
            ),
            "pods that are not ready any more": (
                said("Available True MinimumReplicasAvailable: 1 of 1"),
                said("Available False NoReplicaReady: 0 of 1"),
                ["Warning NoReplicaReady: 0 of 1"],
            ),
            "they say more of it": (
                said("Available False NoReplicaReady: 0 of 1"),
                said("Available False NoReplicaReady: 0 of 1: CrashLoopBackOff"),
                [],
            ),
            "scaled to zero": (
                said("Available True MinimumReplicasAvailable: 1 of 1"),
                said("Available False ScaledToZero: spec.replicas is 0"),
                ["Warning ScaledToZero: spec.replicas is 0"],
            ),
            "and up again": (
                said("Available False ScaledToZero: spec.replicas is 0"),
                said("Available False NoReplicaReady: 0 of 1"),
                [],
            ),
            "a configuration on its way": (
                said("ConfigLive True Live: 1 of 1", "Ready True Ready: ok"),
                said("ConfigLive False Propagating: 0 of 1", "Ready False Propagating: 0 of 1"),
                [],
            ),
            "that does not load": (
                said("ConfigLive False Propagating: 0 of 1"),
                said("ConfigLive False ReloadFailed: pod mx-1: bad"),
                ["Warning ReloadFailed: pod mx-1: bad"],
            ),
            "in the next pod neither": (
                said("ConfigLive False ReloadFailed: pod mx-1: bad"),
                said("ConfigLive False ReloadFailed: pod mx-0: bad"),
                [],
            ),
            "pods that do not answer": (
                said("ConfigLive True Live: 1 of 1"),
                said("ConfigLive Unknown PodsUnreachable: mx-1"),
                [],
            ),
            "a destination that wants another login": (
                said("DestinationsReachable Unknown Pending: soon"),
                said("DestinationsReachable False Misconfigured: route out: AUTH: 535"),
                ["Warning Misconfigured: route out: AUTH: 535"],
            ),
            "whose answer has another number in it": (
                said("DestinationsReachable False Unreachable: route out: 421 busy (1)"),
                said("DestinationsReachable False Unreachable: route out: 421 busy (2)"),
                [],
            ),
            "that answers again": (
                said("DestinationsReachable False Unreachable: route out: refused"),
                said("DestinationsReachable True Reachable: ok"),
                [],
            ),
            "suspended with a difference": (
                said("Programmed True Programmed: ok", "Ready True Ready: ok"),
                said("Programmed False Suspended: Service mx", "Ready False Suspended: Service mx"),
                ["Normal Suspended: Service mx"],
            ),
            "and another difference": (
                said("Programmed False Suspended: Service mx"),
                said("Programmed False Suspended: Deployment mx"),
                [],
            ),
            "several at once: each its own, in the order of the conditions, and the sum last": (
                said("Accepted False Invalid: bad", "DeliveryDurable Unknown Pending: ?", "Ready False Invalid: bad"),
                said(
                    "Ready True Ready: ok", "Accepted True Accepted: ok", "DeliveryDurable False EphemeralMailbox: one"
                ),
                ["Warning EphemeralMailbox: one", "Normal Ready: ok"],
            ),
            "what goes away by itself is no news": (
                said("Reconciling True RollingOut: 1 of 2", "Stalled True Invalid: bad"),
                said("Reconciling True Propagating: 1 of 2"),
                [],
            ),
        }
    ),
)
def test_a_person_reads_what_is_new(before, after, expected):
    """And nothing else."""
    assert events(before, after) == expected


@pytest.mark.parametrize(
    "kind, reason", [(kind, reason) for kind, states in REASONS.items() for reason in sorted(states["False"])]
)
def test_each_reason_that_keeps_from_working_is_told_once(kind, reason):
    """A Warning, unless it passes by itself or was asked for; and none when it is looked at again."""
    before, after = said(f"{kind} True Was: good"), said(f"{kind} False {reason}: because")
    told = [Event("Normal" if reason in NORMAL else "Warning", reason, "because")]

    assert list(transitions(before, after)) == ([] if reason in NO_EVENT else told)
    assert transitions(after, after) == ()


def test_the_life_of_a_gateway_in_events():
    """Installed, reconfigured, broken and repaired: what `kubectl describe` shows at the end of each step."""
    lacking = see(pod(ready=False, says=report(missing=(NO_KEY,))), spec=TLS)
    well = see(spec=TLS)
    lagging = replace(well, config_hash="b" * 64, pods=(pod(expected="b" * 64),))
    steps = {
        "applied": (first_visit(spec=TLS, gateway=well.gateway), []),
        "rendered": (replace(lacking, pods=(pod(ready=False, silent=True),)), []),
        "the Secret has no key": (
            lacking,
            ["Warning SecretKeyMissing: Secret mx-tls (spec.tls.certificateRefs[0]) has no key tls.key"],
        ),
        "the key is there": (well, ["Normal Ready: 1 of 1 replicas serve generation 3"]),
        "nothing happens": (well, []),
        "a setting changes": (replace(lagging, programmed=PENDING), []),
        "and is applied": (lagging, []),
        "and is live": (well, []),
        "a setting is wrong": (refused("Invalid", "spec.routes: required"), ["Warning Invalid: spec.routes: required"]),
        "and right again": (lagging, []),
        "and that is live": (well, ["Normal Ready: 1 of 1 replicas serve generation 3"]),
        "the node is lost": (
            replace(well, pods=(pod(ready=False, silent=True),)),
            ["Warning NoReplicaReady: 0 of 1 replicas are ready"],
        ),
        "and back": (well, ["Normal Ready: 1 of 1 replicas serve generation 3"]),
        "the certificate does not load": (
            replace(well, pods=(pod(says=report(reload_error="tls.key is no PEM private key")),)),
            ["Warning ReloadFailed: pod mx-1: tls.key is no PEM private key"],
        ),
        "suspended": (
            replace(well, programmed=Reason("Programmed", "Suspended", "Deployment mx would change")),
            ["Normal Suspended: Deployment mx would change"],
        ),
        "no pod wanted": (
            see(spec={"replicas": 0}, pods=(), deployment=QUIET),
            ["Warning ScaledToZero: spec.replicas is 0"],
        ),
    }
    seen = {}
    before = {}
    for minute, (step, (facts, _)) in enumerate(steps.items()):
        after = status(replace(facts, before=before), f"2026-11-22T10:{minute:02}:00Z")
        seen[step] = events(before, after)
        before = after

    assert seen == {step: expected for step, (_, expected) in steps.items()}


def test_a_rollout_is_no_event():
    """Pods come and go one by one, and mail is taken all the while; nor is its end."""
    before = status(see(pod("mx-1"), pod("mx-2")), NOW)
    for counts in ({"updatedReplicas": 1, "replicas": 3}, {"availableReplicas": 1}, {"replicas": 3}):
        rolling = see(pod("mx-1"), pod("mx-3", ready=False, says=report(OLD)), deployment=deployment(2, **counts))
        after = status(replace(rolling, before=before, config_hash=HASH), LATER)

        assert transitions(before, after) == ()
        before = after

    assert transitions(before, status(see(pod("mx-1"), pod("mx-3"), before=before), LATER)) == ()


def test_a_rollout_that_is_stuck_is_one():
    """With the new pod's own reason; and so is its end."""
    before = status(see(pod("mx-1")), NOW)
    rolling = see(AS_STARTED, NO_IMAGE, deployment=deployment(1, replicas=2))
    stuck = see(AS_STARTED, NO_IMAGE, deployment=deployment(1, replicas=2, conditions=[STUCK]))
    steps, told = (rolling, stuck, see(pod("mx-2"))), []
    for facts in steps:
        after = status(replace(facts, before=before), LATER)
        told.append([event.reason for event in transitions(before, after)])
        before = after

    assert told == [[], ["RolloutStuck"], ["Ready"]]
