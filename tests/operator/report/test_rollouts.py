"""What the status says of rollouts that do not come through, beside the table in condition_cases.py."""

from dataclasses import replace

import pytest

from mailport.operator.report import metrics
from mailport.operator.report.status import status
from tests.operator.report.observing import NO_IMAGE, NOW, PROGRAMMED, STUCK, conditions, deployment, pod, see
from tests.tables import table

CLAIM = "claim mail, which one node alone can mount, is also of InboundSmtp other"


@pytest.mark.parametrize(
    "seen, words",
    table(
        {
            "while a pod waits, it may be why": (
                see(pod(), NO_IMAGE, deployment=deployment(2, updatedReplicas=1), shared_claims=(CLAIM,)),
                f"1 of 2 replicas are up to date: pod mx-2: ImagePullBackOff: no such image; {CLAIM}",
            ),
            "where all run it is none": (
                see(pod(), pod("mx-2"), deployment=deployment(2, replicas=3), shared_claims=(CLAIM,)),
                "2 of 2 replicas are up to date",
            ),
        }
    ),
)
def test_a_claim_that_is_anothers_too_is_named_where_a_pod_waits(seen, words):
    assert conditions(seen)["ConfigLive"]["message"] == words


def test_a_rollout_that_is_stuck_is_none_that_is_under_way():
    """Else kstatus would wait for it: whoever has to mend it is told by Ready."""
    found = conditions(see(pod(), NO_IMAGE, deployment=deployment(2, updatedReplicas=1, conditions=[STUCK])))

    assert found["Ready"]["reason"] == "RolloutStuck"
    assert "Reconciling" not in found


def test_new_pods_that_wait_for_a_turn_are_a_change_under_way_and_all_serve():
    """For another image of the operator's. What the spec says is there, so Ready does not wait for that."""
    programmed = PROGRAMMED._replace(still_to_come="new pods wait for a turn")
    found = conditions(see(pod(), programmed=programmed))

    assert (found["Ready"]["status"], found["Programmed"]["status"]) == ("True", "True")
    assert (found["Reconciling"]["reason"], found["Reconciling"]["message"]) == (
        "RollingOut",
        "new pods wait for a turn",
    )


def test_why_a_pod_that_serves_was_started_again_is_not_why_another_does_not_start():
    """An old pod that once ran out of memory is none of the rollout's."""
    restarted = replace(pod(), trouble="OOMKilled")
    found = conditions(see(restarted, NO_IMAGE, deployment=deployment(2, updatedReplicas=1, conditions=[STUCK])))

    assert "pod mx-2: ImagePullBackOff" in found["ConfigLive"]["message"]
    assert "OOMKilled" not in found["ConfigLive"]["message"]


def test_a_rollout_that_was_stuck_before_the_last_change_is_not_this_one():
    """Its controller has not seen the change yet: what its status says is of the image before."""
    found = conditions(see(pod(), NO_IMAGE, deployment=deployment(2, seen=6, updatedReplicas=1, conditions=[STUCK])))

    assert found["ConfigLive"]["reason"] == "RollingOut"
    assert found["Reconciling"]["status"] == "True"


def test_pods_that_all_have_to_go_give_way_to_nobody():
    """Scaled to zero by hand or by an autoscaler, in the midst of a rollout: no new pod is waited for."""
    seen = see(pod(), deployment=deployment(0, replicas=1))

    assert conditions(seen)["ConfigLive"]["reason"] == "Live"


def samples():
    content, _ = metrics.exposition()
    lines = content.decode().splitlines()
    return [line for line in lines if line.startswith("mailport_operator_inboundsmtp_ready{")]


def test_a_gateway_has_one_series_whatever_its_reason_was():
    """With the old one beside it, an alert on 0 would go on."""
    well, stuck = (status(seen, NOW) for seen in (see(), see(deployment=deployment(1, conditions=[STUCK]))))
    for said in (stuck, well, stuck):
        metrics.ready("mail", "mx", said)
    one = samples()
    metrics.forget("mail", "mx")

    assert one == ['mailport_operator_inboundsmtp_ready{name="mx",namespace="mail",reason="RolloutStuck"} 0.0']
    assert samples() == []


def test_a_spec_without_a_status_of_its_own_is_no_sample():
    metrics.ready("mail", "mx", replace(see(), before={}).before)

    assert samples() == []


def test_there_are_no_fewer_pods_than_are_ready():
    """Pods and Deployments are watched apart: the count of one may be behind the other."""
    said = status(see(pod(), pod("mx-2"), deployment=deployment(2, replicas=1)), NOW)

    assert (said["replicas"], said["readyReplicas"]) == (2, 2)
