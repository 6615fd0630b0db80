"""Every status fits the schema of the CustomResourceDefinition: the API server takes it, and drops nothing of it."""

import re
from dataclasses import replace
from datetime import datetime
from functools import cache

import pytest

from mailport.operator.admit.admit import MAX_MESSAGE
from mailport.operator.report.status import status
from tests.contract.test_crd_schema import schema
from tests.operator.report.condition_cases import every_case
from tests.operator.report.observing import (
    HASH,
    NOW,
    TLS,
    certificate,
    conditions,
    deployment,
    pod,
    refused,
    report,
    see,
)
from tests.tables import table


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
