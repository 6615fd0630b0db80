"""The tests' own judge of the `restricted` standard finds what breaks it."""

import copy

import pytest

from tests.operator.making import by_kind, gateway
from tests.operator.restricted import violations
from tests.tables import table


def change(path, value):
    pod = copy.deepcopy(by_kind(gateway())["Deployment"]["spec"]["template"]["spec"])
    *parents, last = path
    place = pod
    for part in parents:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return list(violations(pod))


@pytest.mark.parametrize(
    "path, value, found",
    table(
        {
            "nothing is wrong with ours": (("hostNetwork",), False, []),
            "a node's network": (("hostNetwork",), True, ["hostNetwork"]),
            "a node's files": (("volumes",), [{"name": "x", "hostPath": {"path": "/"}}], ["volume x"]),
            "a sysctl that is not safe": (
                ("securityContext", "sysctls"),
                [{"name": "net.core.somaxconn"}],
                ["net.core.somaxconn"],
            ),
            "root by default": (("securityContext", "runAsNonRoot"), None, ["runAsNonRoot"]),
            "root": (("securityContext", "runAsUser"), 0, ["runAsUser"]),
            "no seccomp": (("securityContext", "seccompProfile"), None, ["seccompProfile"]),
            "setuid programs": (
                ("containers", 0, "securityContext", "allowPrivilegeEscalation"),
                None,
                ["allowPrivilegeEscalation"],
            ),
            "capabilities kept": (("containers", 0, "securityContext", "capabilities"), {}, ["capabilities.drop"]),
            "capabilities added": (
                ("containers", 0, "securityContext", "capabilities"),
                {"drop": ["ALL"], "add": ["NET_RAW"]},
                ["capabilities.add"],
            ),
            "a privileged container": (("containers", 0, "securityContext", "privileged"), True, ["privileged"]),
            "a port of the node": (("containers", 0, "ports"), [{"hostPort": 25}], ["hostPort"]),
        }
    ),
)
def test_it_is_found(path, value, found):
    assert change(path, value) == found
