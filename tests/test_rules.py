"""What fields say together, beyond the corpus: several faults at once, formats of a single field, and all warnings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mailport import rules
from mailport.faults import Invalid
from mailport.model import InboundSmtp, Spec
from tests.tables import table

TLS = {"certificateRefs": [{"name": "mx-tls"}]}
AUTH = {"htpasswd": {"secretRef": {"name": "users"}}}


def listener(port: int = 2525, name: str = "smtp", **fields: Any) -> dict[str, Any]:
    return {"name": name, "port": port, **fields}


def route(*recipients: str, name: str = "mail", **fields: Any) -> dict[str, Any]:
    exact = {"deliver": {"maildir": {"claimName": "mail", "createMailboxes": "Never"}}}
    return {"name": name, "recipients": list(recipients), **exact, **fields}


POSTMASTER = route("postmaster@mx.example.org", name="postmaster")
SMARTHOST = {"smtp": {"host": "smarthost.example.org"}}


def spec(**fields: Any) -> Spec:
    whole = {"hostname": "mx.example.org", "listeners": [listener()], "routes": [POSTMASTER]} | fields
    return InboundSmtp.parse_json(
        json.dumps(
            {"apiVersion": "mailport.dev/v1alpha1", "kind": "InboundSmtp", "metadata": {"name": "mx"}, "spec": whole}
        )
    ).spec


def test_a_plain_spec_has_neither_faults_nor_warnings():
    """What the tables below add to it is what they are about."""
    assert rules.check(spec()) == ()
    assert rules.warnings(spec()) == ()


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
                "'10.0.0.0/255.0.0.0': after the / stands the length of the prefix, a number",
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


WARNINGS = {
    "passwords in clear, where there is no TLS": (
        {"listeners": [listener(auth={"mode": "Always"})], "auth": AUTH},
        'spec.listeners[0].auth.mode: "Always" takes passwords in clear here; "SecureOnly" would not',
    ),
    "passwords in clear, where TLS is the client's choice": (
        {"listeners": [listener(auth={"mode": "Always"})], "auth": AUTH, "tls": TLS},
        'spec.listeners[0].auth.mode: "Always" takes passwords in clear here; "SecureOnly" would not',
    ),
    "passwords in clear, to a webhook": (
        {
            "routes": [
                POSTMASTER,
                route(
                    "a@example.org",
                    deliver={"webhook": {"url": "http://example.org/", "credentialsSecretRef": {"name": "login"}}},
                ),
            ]
        },
        "spec.routes[1].deliver.webhook.url: the credentials travel in clear; use https",
    ),
    "SecureOnly, where there is no TLS": (
        {"listeners": [listener(auth={"mode": "SecureOnly"})], "auth": AUTH},
        'spec.listeners[0].auth.mode: "SecureOnly" offers nothing on a listener without TLS',
    ),
    "AUTH required at port 25": (
        {"listeners": [listener(25, auth={"required": True})], "auth": AUTH, "tls": TLS},
        "spec.listeners[0].auth.required: other mail servers cannot log in: nothing comes in on port 25",
    ),
    "TLS required at port 25": (
        {"listeners": [listener(25, tls={"mode": "StartTLSRequired"})], "tls": TLS},
        "spec.listeners[0].tls.mode: mail servers without TLS cannot send to port 25 (RFC 3207 §4)",
    ),
    "TLS from the first byte at port 25": (
        {"listeners": [listener(25, tls={"mode": "Implicit"})], "tls": TLS},
        "spec.listeners[0].tls.mode: mail servers without TLS cannot send to port 25 (RFC 3207 §4)",
    ),
    "a route for users, and there are none": (
        {"routes": [POSTMASTER, route("a@example.org", clients="Authenticated")]},
        'spec.routes[1].clients: "Authenticated", but there is no spec.auth: nobody can use this route',
    ),
    "a route for users, who can log in nowhere": (
        {
            "listeners": [listener(auth={"mode": "Never"})],
            "auth": AUTH,
            "routes": [POSTMASTER, route("a@example.org", clients="Authenticated")],
        },
        'spec.routes[1].clients: "Authenticated", but no listener offers AUTH: nobody can use this route',
    ),
    "nobody is let in": (
        {"access": {"policy": "AllowListed"}},
        "spec.access.addresses: an empty list of the only ones allowed lets nobody in",
    ),
    "an allow-list behind source NAT": (
        {
            "access": {"policy": "AllowListed", "addresses": ["192.0.2.0/24"]},
            "service": {"type": "LoadBalancer", "externalTrafficPolicy": "Cluster"},
        },
        (
            'spec.service.externalTrafficPolicy: with "Cluster" clients come with the address of a node, which '
            'spec.access then judges on smtp; use "Local", or PROXY headers'
        ),
    ),
    "a deny-list behind source NAT, where one listener has PROXY headers and another has none": (
        {
            "listeners": [listener(proxyProtocol={"trustedCIDRs": ["10.0.0.0/8"]}), listener(2526, "direct")],
            "access": {"policy": "DenyListed", "addresses": ["192.0.2.0/24"]},
            "service": {"type": "NodePort", "externalTrafficPolicy": "Cluster"},
        },
        (
            'spec.service.externalTrafficPolicy: with "Cluster" clients come with the address of a node, which '
            'spec.access then judges on direct; use "Local", or PROXY headers'
        ),
    ),
    "a limit a client behind source NAT": (
        {"service": {"type": "NodePort", "externalTrafficPolicy": "Cluster"}},
        (
            'spec.service.externalTrafficPolicy: with "Cluster" clients come with the address of a node, which '
            'spec.limits.maxConnectionsPerClient then judges on smtp; use "Local", or PROXY headers'
        ),
    ),
    "PROXY headers from anywhere": (
        {"listeners": [listener(proxyProtocol={"trustedCIDRs": ["10.0.0.1/32", "0.0.0.0/0"]})]},
        (
            "spec.listeners[0].proxyProtocol.trustedCIDRs[1]: 0.0.0.0/0 lets anybody claim any address; name the load "
            "balancers alone"
        ),
    ),
    "no route for the postmaster": (
        {"routes": [route("a@example.org")]},
        (
            "spec.routes: no route takes the postmaster: postmaster@mx.example.org must be able to get mail from "
            "anyone (RFC 5321 §4.5.1)"
        ),
    ),
    "a postmaster for users only": (
        {"auth": AUTH, "tls": TLS, "routes": [route("postmaster@*", clients="Authenticated")]},
        (
            "spec.routes[0]: this route turns the postmaster's mail away: postmaster@mx.example.org must be able to "
            "get mail from anyone (RFC 5321 §4.5.1)"
        ),
    ),
    "a postmaster who is refused": (
        {"postmaster": "Root@Example.org", "routes": [route("root@example.org", deliver={"refuse": {}})]},
        (
            "spec.routes[0]: this route turns the postmaster's mail away: Root@Example.org must be able to get mail "
            "from anyone (RFC 5321 §4.5.1)"
        ),
    ),
    "a route below one that takes the same": (
        {"routes": [POSTMASTER, route("POSTMASTER@MX.example.org", name="again")]},
        "spec.routes[1]: gets nothing: postmaster above takes all its recipients",
    ),
    "a route below several that take all of it": (
        {
            "routes": [
                POSTMASTER,
                route("a@example.org", name="a"),
                route("*-list@*.example.org", name="lists"),
                route("a@example.org", "x-*-list@y.example.org", name="never"),
            ]
        },
        "spec.routes[3]: gets nothing: a and lists above takes all its recipients",
    ),
    "mailboxes that anyone can make": (
        {"routes": [POSTMASTER, route("b@example.org", "*@example.org", deliver={"maildir": {"claimName": "mail"}})]},
        (
            'spec.routes[1].deliver.maildir.createMailboxes: with "Always" anyone can make mailboxes without end as '
            '*@example.org; list the recipients, or use "Never"'
        ),
    ),
    "a mailbox on an emptyDir": (
        {"routes": [route("postmaster@mx.example.org", deliver={"maildir": {}})]},
        (
            "spec.routes[0].deliver.maildir.claimName: not set: in Kubernetes this mail lies in an emptyDir and is "
            "lost with the pod"
        ),
    ),
}


@pytest.mark.parametrize("fields, warning", table(WARNINGS))
def test_what_is_unwise(fields, warning):
    """It is legal, and warned of once, by path."""
    unwise = spec(**fields)

    assert rules.check(unwise) == ()
    assert [str(fault) for fault in rules.warnings(unwise)] == [warning]


@pytest.mark.parametrize(
    "fields",
    table(
        {
            "Always, where TLS is certain": {
                "listeners": [listener(tls={"mode": "Implicit"}, auth={"mode": "Always"})],
                "auth": AUTH,
                "tls": TLS,
            },
            "AUTH required at the submission port": {
                "listeners": [listener(587, tls={"mode": "StartTLSRequired"}, auth={"required": True})],
                "auth": AUTH,
                "tls": TLS,
            },
            "an allow-list where the client's address survives": {
                "access": {"policy": "AllowListed", "addresses": ["*"]},
                "service": {"type": "LoadBalancer"},
            },
            "source NAT, and no list or limit": {
                "service": {"type": "NodePort", "externalTrafficPolicy": "Cluster"},
                "limits": {"maxConnectionsPerClient": 0},
            },
            "mailboxes that only users can make": {
                "auth": AUTH,
                "tls": TLS,
                "routes": [
                    POSTMASTER,
                    route("*@example.org", clients="Authenticated", deliver={"maildir": {"claimName": "mail"}}),
                ],
            },
            "one of a route's recipients is left": {
                "routes": [POSTMASTER, route("postmaster@mx.example.org", "a@example.org", name="rest")]
            },
            "a narrow route above a wide one": {
                "routes": [POSTMASTER, route("*@*.example.org", name="wide"), route("*@*", name="wider")]
            },
        }
    ),
)
def test_what_is_not_warned_of(fields):
    """The same settings, where they are right."""
    assert rules.warnings(spec(**fields)) == ()


def test_warnings_of_the_largest_spec_come_at_once():
    """6,400 patterns full of stars, each compared with those of the routes above."""
    routes = [route(*(f"*a{r:02}*b{i:02}*@*c{i:02}*.org" for i in range(100)), name=f"r{r}") for r in range(64)]

    assert [warning.path for warning in rules.warnings(spec(routes=routes))] == ["spec.routes"]
