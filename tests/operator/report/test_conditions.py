"""The conditions of an InboundSmtp: every one with every reason, what tools read in them, and how old they are."""

import json
import random
from dataclasses import replace

import pytest

from mailport.operator.reason import STALLS, Reason
from mailport.operator.report.status import status
from tests.operator.report.condition_cases import CASES, EVERY, ORDER, QUIET, REASONS, SUSPENDED, every_case
from tests.operator.report.observing import (
    AS_STARTED,
    LATER,
    NO_KEY,
    NOW,
    OLD,
    STUCK,
    THEN,
    TLS,
    conditions,
    deployment,
    first_visit,
    pod,
    refused,
    report,
    see,
)
from tests.tables import table


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
    """What Flux and cli-utils read, who take an object without a status for ready."""
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
