"""Why a pod does not start, in one line."""

import json

import pytest

from mailport.operator.pods.look_up import last
from mailport.operator.pods.running import is_starting
from mailport.operator.pods.trouble import trouble
from tests.tables import table

NO_MOUNT = 'FailedMount: MountVolume.SetUp failed for volume "x"'


def container(state, last_state=None, name="listener"):
    return {"containerStatuses": [{"name": name, "state": state, "lastState": last_state or {}}]}


def waiting(reason, message=""):
    return {"waiting": {"reason": reason} | ({"message": message} if message else {})}


def ended(message, reason="Error"):
    return {"terminated": {"reason": reason, "message": message}}


LAST_WORDS = json.dumps({"reason": "config", "message": "spec.hostname: required"})


@pytest.mark.parametrize(
    "its_status, hindrance, words",
    table(
        {
            "one that runs": (container({"running": {}}), "", ""),
            "one that has no place": (
                {
                    "conditions": [
                        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3"}
                    ]
                },
                "",
                "Unschedulable: 0/3",
            ),
            "an image that is not there": (
                container(waiting("ImagePullBackOff", "no such image")),
                "",
                "ImagePullBackOff: no such image",
            ),
            "one that is being created": (container(waiting("ContainerCreating")), "", ""),
            "one that has been for a while": (
                container(waiting("ContainerCreating")),
                NO_MOUNT,
                f"ContainerCreating: {NO_MOUNT}",
            ),
            "one of which the kubelet says nothing, for a while": ({}, NO_MOUNT, NO_MOUNT),
            "a listener that ended, in its own words": (
                container(waiting("CrashLoopBackOff"), ended(f"log\n{LAST_WORDS}\n")),
                "",
                "config: spec.hostname: required",
            ),
            "whatever else it said": (container(ended("Killed by the kernel")), "", "Killed by the kernel"),
            "one that said nothing": (container(ended("", "OOMKilled")), "", "OOMKilled"),
            "a container that is not ours": (container(waiting("ImagePullBackOff"), name="mesh"), "", ""),
            "a long story": (container(ended("x" * 1000)), "", "x" * 299 + "…"),
        }
    ),
)
def test_what_is_said_of_it(its_status, hindrance, words):
    assert trouble(its_status, hindrance) == words


@pytest.mark.parametrize(
    "its_status, starts",
    table(
        {
            "one with a place, whose container waits": (container(waiting("ContainerCreating")), True),
            "one of which the kubelet has not said anything": ({}, True),
            "one that runs": (container({"running": {}}), False),
            "one that did": (container(ended("")), False),
        }
    ),
)
def test_one_that_starts_is_told_from_one_that_did(its_status, starts):
    """It has its place: without one the scheduler says why."""
    placed = {"conditions": [{"type": "PodScheduled", "status": "True"}]}

    assert is_starting({"status": its_status | placed}) is starts
    assert is_starting({"status": its_status}) is False


def test_of_several_events_the_last_counts():
    """Each kind of writer dates it in another field."""
    events = [
        {"reason": "FailedMount", "message": "first", "lastTimestamp": "2026-11-28T10:00:00Z"},
        {"reason": "FailedAttachVolume", "message": "last", "eventTime": "2026-11-28T10:02:00.000000Z"},
        {"reason": "Failed", "message": "second", "series": {"lastObservedTime": "2026-11-28T10:01:00.000000Z"}},
    ]

    assert last(events) == "FailedAttachVolume: last"
    assert last([]) == ""
