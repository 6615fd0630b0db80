"""What fields say together, beyond the corpus: several faults at once, and formats of a single field."""

from __future__ import annotations

import pytest

from mailport.contract import rules
from mailport.contract.faults import Invalid
from tests.contract.specs import AUTH, SMARTHOST, TLS, listener, route, spec
from tests.tables import table


def test_a_plain_spec_has_no_faults():
    """What the tables below add to it is what they are about."""
    assert rules.check(spec()) == ()


def test_all_faults_come_at_once():
    """In the order of the rules."""
    broken = spec(
        listeners=[listener(tls={"mode": "Implicit"}), listener(port=8080, auth={"mode": "Always", "required": True})],
        routes=[route("*", deliver=SMARTHOST), route("*", name="b", deliver={})],
    )

    assert [fault.path for fault in rules.check(broken)] == [
        "spec.listeners[1].name",
        "spec.listeners[1].port",
        "spec.listeners[0].tls.mode",
        "spec.listeners[1].auth.mode",
        "spec.routes[1].deliver",
        "spec.routes[0].clients",
    ]


@pytest.mark.parametrize(
    "fields",
    table(
        {
            "SecureOnly by default on a listener without TLS": {"auth": AUTH},
            "SecureOnly written out there, where nobody must log in": {
                "listeners": [listener(auth={"mode": "SecureOnly"})],
                "auth": AUTH,
            },
            "required in clear, where Always takes it": {
                "listeners": [listener(auth={"mode": "Always", "required": True})],
                "auth": AUTH,
            },
            "required by default, with TLS": {
                "listeners": [listener(auth={"required": True})],
                "auth": AUTH,
                "tls": TLS,
            },
            "Disabled and Never written out, with nothing they could need": {
                "listeners": [listener(tls={"mode": "Disabled"}, auth={"mode": "Never"})]
            },
            "smtp for anyone, to domains written out": {"routes": [route("*@example.org", deliver=SMARTHOST)]},
            "smtp to everywhere, for users": {
                "routes": [route("*", clients="Authenticated", deliver=SMARTHOST)],
                "auth": AUTH,
            },
            "a wildcard domain, to anything but smtp": {"routes": [route("*", deliver={"discard": {}})]},
            "bindAddresses of a family by default": {"network": {"bindAddresses": ["::1"]}},
            "bindAddresses in a pod: for the operator to say": {"network": {"bindAddresses": ["192.0.2.25"]}},
            "a user of its own on a node's network, above the ports of root": {
                "network": {"hostNetwork": True},
                "pod": {"runAsUser": 1000},
            },
            "a NetworkPolicy without a Service: pods have addresses all the same": {
                "service": {"type": "None"},
                "networkPolicy": "Managed",
            },
            "a volume that is seen twice, and one that is not seen": {
                "pod": {
                    "volumes": [{"name": name, "configMap": {"name": "a"}} for name in ("a", "b")],
                    "volumeMounts": [{"name": "a", "mountPath": path} for path in ("/mnt/a", "/mnt/b")],
                }
            },
            "node ports that Kubernetes chooses": {
                "listeners": [listener(), listener(2526, "other")],
                "service": {"type": "NodePort"},
            },
        }
    ),
)
def test_what_is_legal(fields):
    """However unwise."""
    assert rules.check(spec(**fields)) == ()


@pytest.mark.parametrize(
    "fields, path, message",
    table(
        {
            "a control character in a pattern": (
                {"routes": [route("an\x00na@example.org")]},
                "spec.routes[0].recipients[0]",
                "'an\\x00na@example.org' is not an address: a control character, or another that is not printable",
            ),
            "half an international label beside a star": (
                {"routes": [route("*@*müller.example")]},
                "spec.routes[0].recipients[0]",
                "'*müller': a label with * in it has only ASCII letters, digits, - and _",
            ),
            "an address with a zone": (
                {"network": {"bindAddresses": ["fe80::1%eth0"]}},
                "spec.network.bindAddresses[0]",
                "'fe80::1%eth0': a zone (%eth0) means something on one host only",
            ),
            "a netmask": (
                {"access": {"policy": "DenyListed", "addresses": ["10.0.0.0/255.0.0.0"]}},
                "spec.access.addresses[0]",
                "'10.0.0.0/255.0.0.0': after the / stands the length of the prefix, a number without zeros in front",
            ),
            "zeros in front": (
                {"access": {"policy": "DenyListed", "addresses": ["192.0.2.07"]}},
                "spec.access.addresses[0]",
                "'192.0.2.07' is neither an IPv4 or IPv6 address nor a CIDR",
            ),
            "an entry without end": (
                {"access": {"policy": "DenyListed", "addresses": ["1" * 51]}},
                "spec.access.addresses[0]",
                "must be at most 50 characters",
            ),
            "a URL whose port is none": (
                {"routes": [route("a@example.org", deliver={"webhook": {"url": "https://example.org:x/"}})]},
                "spec.routes[0].deliver.webhook.url",
                "must be a URL whose host and port can be understood",
            ),
            "a URL with a space": (
                {"routes": [route("a@example.org", deliver={"webhook": {"url": "https://example.org/a b"}})]},
                "spec.routes[0].deliver.webhook.url",
                "must be a URL without spaces and in ASCII",
            ),
            "a URL with a fragment": (
                {"routes": [route("a@example.org", deliver={"webhook": {"url": "https://example.org/#a"}})]},
                "spec.routes[0].deliver.webhook.url",
                "must not have a #fragment, which is never sent",
            ),
        }
    ),
)
def test_what_the_form_of_one_field_forbids(fields, path, message):
    """Where the CRD cannot tell as much, the operator says it by Accepted=False."""
    with pytest.raises(Invalid) as caught:
        spec(**fields)

    assert [(fault.path, fault.message) for fault in caught.value.faults] == [(path, message)]


FREE = (
    "/mnt", "/etc/krb5", "/etc/ssl/certs", "/opt/agent", "/var/run/secrets/tokens", "/var/lib/mailport-extra",
    "/etc/mailports", "/run", "/data", "/media/x.y",
)  # fmt: skip
TAKEN = (
    "/etc", "/etc/mailport", "/etc/mailport/secrets/x", "/etc/ssl", "/etc/python3.13", "/etc/ld.so.conf.d", "/opt",
    "/opt/mailport", "/var", "/var/lib", "/var/lib/mailport/mail/default", "/tmp", "/usr/local/lib", "/lib64",
    "/proc/self",
)  # fmt: skip


@pytest.mark.parametrize("path", [*FREE, *TAKEN])
def test_where_a_volume_may_be_mounted(path):
    """Not over what the listener is, has and is loaded from, nor over what holds it."""
    pod = {"volumes": [{"name": "a", "configMap": {}}], "volumeMounts": [{"name": "a", "mountPath": path}]}
    try:
        spec(pod=pod)
    except Invalid as invalid:
        assert [fault.path for fault in invalid.faults] == ["spec.pod.volumeMounts[0].mountPath"]  # noqa: PT017
        taken = True
    else:
        taken = False

    assert taken == (path in TAKEN)
