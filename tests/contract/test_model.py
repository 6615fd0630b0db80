"""The model: defaults, what other fields decide, strictness, and the page that is made of it."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mailport.contract import quantity
from mailport.contract.faults import Invalid
from mailport.contract.model import (
    AuthMode,
    Deliver,
    Discard,
    InboundSmtp,
    Listener,
    Route,
    Spec,
    TlsMode,
    TrafficPolicy,
)
from tests.tables import table

ROOT = Path(__file__).parents[2]
CERTIFICATES = {"certificateRefs": [{"name": "mx-tls"}]}
USERS = {"htpasswd": {"secretRef": {"name": "users"}}}


def document(**spec: Any) -> bytes:
    routes = [{"name": "all", "recipients": ["*@example.org"], "deliver": {"maildir": {}}}]
    listeners = [{"name": "smtp", "port": 25}]
    spec = {"hostname": "mx.example.org", "listeners": listeners, "routes": routes} | spec
    return json.dumps(
        {"apiVersion": "mailport.dev/v1alpha1", "kind": "InboundSmtp", "metadata": {"name": "mx"}, "spec": spec}
    ).encode()


def parse(**spec: Any) -> Spec:
    return InboundSmtp.parse_json(document(**spec)).spec


def faults(text: bytes) -> list[str]:
    with pytest.raises(Invalid) as caught:
        InboundSmtp.parse_json(text)
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    "path, expected",
    table(
        {
            "1000 connections": ("limits.max_connections", 1000),
            "100 of a client": ("limits.max_connections_per_client", 100),
            "100 recipients": ("limits.max_recipients", 100),
            "20 errors": ("limits.max_errors", 20),
            "3 failed AUTHs": ("limits.max_auth_failures", 3),
            "300 s for a command": ("limits.command_timeout_seconds", 300),
            "180 s within data": ("limits.data_timeout_seconds", 180),
            "500 bytes a second": ("limits.min_data_rate", 500),
            "5 s of shutdown delay": ("limits.shutdown_delay_seconds", 5),
            "25 MiB advertised": ("message_size.advertised", 26_214_400),
            "and enforced": ("message_size.enforce", True),
            "bare newlines normalised": ("content.bare_newlines", "Normalize"),
            "everyone may connect": ("access", None),
            "no TLS": ("tls", None),
            "no users": ("auth", None),
            "both families": ("network.ip_families", None),
            "all addresses": ("network.bind_addresses", ()),
            "one replica": ("replicas", 1),
            "a Service within the cluster": ("service.type", "ClusterIP"),
            "the admin port": ("pod.admin_port", 8080),
            "1 GiB of scratch": ("pod.scratch_size", 1 << 30),
            "the operator acts": ("management", "Managed"),
            "and leaves network policies alone": ("network_policy", "Unmanaged"),
        }
    ),
)
def test_defaults_are_the_contracts(path, expected):
    """What a minimal document leaves out has the contract's default."""
    value: Any = parse()
    for name in path.split("."):
        value = getattr(value, name)

    assert value == expected


def test_a_route_has_the_contracts_defaults():
    """Anyone, 50 at once, and a Maildir that makes mailboxes, strips +subaddresses and shares with its group."""
    route = parse().routes[0]
    maildir = route.deliver.destination

    assert (route.clients, route.max_concurrent, route.deliver.kind) == ("Anyone", 50, "maildir")
    assert maildir == route.deliver.maildir
    assert (maildir.claim_name, maildir.create_mailboxes, maildir.strip_subaddress) == (None, "Always", "+")
    assert (maildir.file_mode_bits, maildir.directory_mode_bits) == (0o660, 0o770)


@pytest.mark.parametrize(
    "destination, seconds",
    table(
        {
            "a webhook has 30 s": ({"webhook": {"url": "https://example.org/"}}, 30),
            "s3 has 30 s": ({"s3": {"bucket": "mail"}}, 30),
            "NATS has 30 s": ({"nats": {"url": "nats://n", "stream": "M", "subject": "m"}}, 30),
            "LMTP has 60 s": ({"lmtp": {"host": "dovecot", "port": 24}}, 60),
            "SMTP has 60 s": ({"smtp": {"host": "mail"}}, 60),
        }
    ),
)
def test_destinations_have_the_contracts_timeouts(destination, seconds):
    """And draining waits 45 seconds longer."""
    spec = parse(routes=[{"name": "a", "recipients": ["a@example.org"], "deliver": destination}])

    assert spec.routes[0].deliver.destination.timeout_seconds == seconds
    assert spec.drain_seconds == seconds + 45


def test_draining_lasts_as_the_slowest_route_or_as_written():
    """The longest timeout of any route, a Maildir's being 60, and 45; or drainSeconds."""
    nowhere = {"name": "n", "recipients": ["n@example.org"], "deliver": {"discard": {}}}
    maildir = {"name": "a", "recipients": ["a@example.org"], "deliver": {"maildir": {}}}
    webhook = {"url": "https://example.org/", "timeoutSeconds": 200}
    slow = {"name": "b", "recipients": ["b@example.org"], "deliver": {"webhook": webhook}}

    assert parse(routes=[nowhere]).drain_seconds == 45
    assert parse(routes=[maildir]).drain_seconds == 105
    assert parse(routes=[maildir, slow]).drain_seconds == 245
    assert parse(routes=[maildir, slow], limits={"drainSeconds": 7}).drain_seconds == 7


@pytest.mark.parametrize(
    "listener, spec, mode",
    table(
        {
            "without certificates it is Disabled": ({}, {}, TlsMode.DISABLED),
            "with certificates it is StartTLS": ({}, {"tls": CERTIFICATES}, TlsMode.START_TLS),
            "what is written holds": ({"mode": "Disabled"}, {"tls": CERTIFICATES}, TlsMode.DISABLED),
        }
    ),
)
def test_the_tls_mode_of_a_listener(listener, spec, mode):
    """The default follows spec.tls."""
    parsed = parse(listeners=[{"name": "smtp", "port": 25, "tls": listener}], **spec)

    assert parsed.tls_mode(parsed.listeners[0]) is mode


@pytest.mark.parametrize(
    "listener, spec, mode",
    table(
        {
            "without users it is Never": ({}, {}, AuthMode.NEVER),
            "with users it is SecureOnly": ({}, {"auth": USERS}, AuthMode.SECURE_ONLY),
            "what is written holds": ({"mode": "Never"}, {"auth": USERS}, AuthMode.NEVER),
        }
    ),
)
def test_the_auth_mode_of_a_listener(listener, spec, mode):
    """The default follows spec.auth."""
    parsed = parse(listeners=[{"name": "smtp", "port": 25, "auth": listener}], **spec)

    assert parsed.auth_mode(parsed.listeners[0]) is mode


def test_the_postmaster_is_at_the_hostname_unless_written():
    """RFC 5321 §4.5.1's address without a domain."""
    assert parse().postmaster_address == "postmaster@mx.example.org"
    assert parse(postmaster="root@example.org").postmaster_address == "root@example.org"


@pytest.mark.parametrize(
    "service, policy",
    table(
        {
            "within the cluster there is none": ({"type": "ClusterIP"}, None),
            "a load balancer keeps the client's address": ({"type": "LoadBalancer"}, TrafficPolicy.LOCAL),
            "a node port too": ({"type": "NodePort"}, TrafficPolicy.LOCAL),
            "what is written holds": (
                {"type": "NodePort", "externalTrafficPolicy": "Cluster"},
                TrafficPolicy.CLUSTER,
            ),
        }
    ),
)
def test_the_traffic_policy_of_a_service(service, policy):
    """The default follows the Service's type."""
    assert parse(service=service).external_traffic_policy is policy


def test_a_document_speaks_camel_case_only():
    """Python's names are not a second spelling of the contract's, at any depth."""
    text = document(drain_seconds=1, limits={"max_errors": 1}, pod={"resources": {"anything_at_all": 1}})

    assert faults(text) == ["spec.limits.max_errors: unknown field", "spec.drain_seconds: unknown field"]


def test_python_may_build_a_spec_by_its_own_names():
    """As tests and the operator do; None is what was left out."""
    listener = Listener(name="smtp", port=25, node_port=None)
    route = Route(name="all", recipients=("*@example.org",), deliver=Deliver(discard=Discard()))

    assert Spec(hostname="mx.example.org", listeners=(listener,), routes=(route,)).routes[0].deliver.kind == "discard"


def test_a_spec_cannot_be_changed():
    """It is shared by everything that runs."""
    with pytest.raises(ValidationError, match="frozen"):
        parse().replicas = 2  # type: ignore[misc]


def test_all_faults_come_at_once_and_name_no_value():
    """In the order of the fields; a list with bad items is not called too short on top."""
    text = document(
        postmaster=None,
        replicas="two hundred",
        listeners=[{"port": 10**400}, {"name": "b", "port": 25.0}],
        routes=[{"name": "a", "recipients": [], "deliver": {"discard": None}}],
        pod={"labels": {"a/b/c": "x", "team": "our team"}},
        **{"x\x1b[2J": 1, "y" * 200: 1},
    )

    assert faults(text) == [
        "spec.postmaster: must be a string",
        "spec.replicas: must be an integer",
        "spec.listeners[0].name: required",
        "spec.listeners[0].port: must be between 1 and 65535",
        "spec.listeners[1].port: must be an integer",
        "spec.routes[0].recipients: must have at least 1 item",
        "spec.routes[0].deliver.discard: must be an object",
        "spec.pod.labels[a/b/c]: must be a qualified name, such as app or example.org/app",
        "spec.pod.labels[team]: must be a label's value: A-Z, a-z, 0-9, -, _ and .",
        'spec["x\\u001b[2J"]: unknown field',
        f"spec.{'y' * 80}: unknown field",
    ]


@pytest.mark.parametrize(
    "text, message",
    table(
        {
            "what is not JSON is said to be none": (b"{", "not JSON: EOF while parsing an object at line 1 column 1"),
            "nor is what is nested without end": (b"[" * 100_000, "not JSON: recursion limit exceeded"),
            "a list is no document": (b"[]", "must be an object"),
        }
    ),
)
def test_what_is_no_document(text, message):
    """It is refused in one line."""
    (fault,) = faults(text)

    assert fault.startswith(message)


def test_status_and_other_metadata_are_ignored():
    """They are Kubernetes' own, and no part of what is equal or written."""
    plain = InboundSmtp.parse_json(document())
    lived = json.loads(document()) | {"status": {"anything": [1]}}
    lived["metadata"] |= {"uid": "1", "managedFields": [], "generation": 3, "namespace": "mail"}
    read = InboundSmtp.parse_json(json.dumps(lived))

    assert read.spec == plain.spec
    assert (read.metadata.generation, plain.metadata.generation) == (3, 0)
    assert "status" not in read.dump()


def test_kubernetes_own_types_are_kept_as_they_are():
    """Null and all: whatever is wrong with them, the API server says."""
    affinity = {"podAffinity": None, "x": [1, 1.5, True, {"y": []}]}
    read = InboundSmtp.parse_json(document(pod={"affinity": affinity, "resources": {}}))

    assert read.dump()["spec"]["pod"]["affinity"] == affinity
    assert InboundSmtp.parse_json(json.dumps(read.dump())) == read


@pytest.mark.parametrize(
    "text, count",
    table(
        {
            "a plain number": ("1048576", 1_048_576),
            "a sign": ("+5", 5),
            "binary": ("25Mi", 26_214_400),
            "decimal": ("25M", 25_000_000),
            "a small k": ("1k", 1000),
            "an exponent": ("2e3", 2000),
            "a large E is an exponent where digits follow": ("2E3", 2000),
            "and exa where none do": ("2E", 2 * 10**18),
            "nothing": ("0", 0),
            "zeros in front": ("007Ki", 7168),
        }
    ),
)
def test_a_quantity_is_a_number_of_bytes(text, count):
    """As k8s.io/apimachinery reads it."""
    assert quantity.parse(text) == count


@pytest.mark.parametrize(
    "text", ["", "Mi", "1.5Gi", "1.0", "100m", "1u", "-1", "1 Mi", "1MB", "1K", "1mi", "1e-3", "1e100", "٣", "1" * 19]
)
def test_what_is_no_whole_number_of_bytes(text):
    """Fractions, other units, other digits."""
    with pytest.raises(ValueError, match="quantity such as"):
        quantity.parse(text)


@given(st.integers(0, 1 << 50))
def test_a_rendered_quantity_is_the_same_number(count):
    """Exact, whatever the unit."""
    assert quantity.parse(quantity.render(count)) == count


@pytest.mark.parametrize("text", ["1Ti", "25Mi", "1000Ki", "5G", "1500M", "100k", "966367641", "0"])
def test_a_quantity_is_rendered_as_the_api_server_writes_it(text):
    """An object that is read back is the one that was applied, to the letter."""
    assert quantity.render(quantity.parse(text)) == text


def test_the_page_of_fields_is_what_the_model_says():
    """docs/fields.md is made by tools/fields.py, and not stale."""
    page = runpy.run_path(str(ROOT / "tools/fields.py"))["page"]()

    assert (ROOT / "docs/fields.md").read_text() == page, "run: python tools/fields.py > docs/fields.md"
