"""All warnings, and where the same settings are right."""

from __future__ import annotations

from typing import Any

import pytest

from mailport.contract import rules, unwise
from tests.contract.specs import AUTH, POSTMASTER, TLS, listener, route, spec
from tests.tables import table

LOGIN = {"credentialsSecretRef": {"name": "nats"}}
NAMED = {"tls": {"serverName": "nats.example.org"}}
LOGIN_IN_CLEAR = (
    "deliver.nats.url: a token or a password travels in clear to a server without TLS; use tls://, or an nkey or creds"
)


def bucket(endpoint: str) -> dict[str, Any]:
    return {"s3": {"bucket": "mail", "endpoint": endpoint}}


def stream(url: str, further: dict[str, Any]) -> dict[str, Any]:
    return {"nats": {"url": url, "stream": "MAIL", "subject": "mail.{local}", **further}}


def test_a_plain_spec_has_no_warnings():
    """What the tables below add to it is what they are about."""
    assert unwise.warnings(spec()) == ()


@pytest.mark.parametrize(
    "keys, warned",
    table(
        {
            "a token": ({"token"}, True),
            "a password": ({"username", "password"}, True),
            "an nkey": ({"nkey"}, False),
            "creds, which are read before a token beside them": ({"creds", "token"}, False),
        }
    ),
)
def test_a_login_to_nats_whose_secret_is_known(keys, warned):
    """An nkey signs, with a JWT or without: nothing of it is sent."""
    found = spec(routes=[POSTMASTER, route("a@example.org", deliver=stream("nats://nats:4222", LOGIN))])

    warnings = [str(fault) for fault in unwise.warnings(found, {"nats": keys})]
    assert warnings == ([f"spec.routes[1].{LOGIN_IN_CLEAR}"] if warned else [])


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
    "mail in clear, to a store that is asked for by HTTP": (
        {"routes": [POSTMASTER, route("a@example.org", deliver=bucket("HTTP://minio:9000"))]},
        (
            "spec.routes[1].deliver.s3.endpoint: requests are signed, but the mail and a session token travel in "
            "clear; use https"
        ),
    ),
    "a login to NATS, which might be a password": (
        {"routes": [POSTMASTER, route("a@example.org", deliver=stream("nats://nats:4222", LOGIN))]},
        f"spec.routes[1].{LOGIN_IN_CLEAR}",
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
    "no Service, and no node's network": (
        {"service": {"type": "None"}},
        (
            'spec.service.type: "None" makes no Service: nothing leads to the pods but a Service of your own that '
            "selects mailport.dev/inboundsmtp"
        ),
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
    "PROXY headers from all of IPv4, written as IPv6": (
        {"listeners": [listener(proxyProtocol={"trustedCIDRs": ["::ffff:0:0/96"]})]},
        (
            "spec.listeners[0].proxyProtocol.trustedCIDRs[0]: ::ffff:0:0/96 lets anybody claim any address; name the "
            "load balancers alone"
        ),
    ),
    "a postmaster that is not ASCII": (
        {"postmaster": "pöst@example.org", "routes": [route("pöst@example.org", "*@example.org")]},
        "spec.postmaster: not ASCII: who does not use SMTPUTF8 cannot write to the postmaster",
    ),
    "no route for the postmaster": (
        {"routes": [route("a@example.org", "*@*.example.net")]},
        (
            "spec.routes: no route takes the postmaster's mail: mail from anyone for postmaster@mx.example.org, "
            "postmaster@example.org must reach a person (RFC 5321 §4.5.1)"
        ),
    ),
    "no route for the postmaster of many domains": (
        {"routes": [route("a@a.example", "a@b.example", "a@c.example", "*@d.example")]},
        (
            "spec.routes: no route takes the postmaster's mail: mail from anyone for postmaster@mx.example.org, "
            "postmaster@a.example, postmaster@b.example, … must reach a person (RFC 5321 §4.5.1)"
        ),
    ),
    "a postmaster for users only": (
        {"auth": AUTH, "tls": TLS, "routes": [route("postmaster@*", clients="Authenticated")]},
        (
            "spec.routes[0]: this route turns the postmaster's mail away: mail from anyone for "
            "postmaster@mx.example.org must reach a person (RFC 5321 §4.5.1)"
        ),
    ),
    "a postmaster who is refused": (
        {"postmaster": "Root@Example.org", "routes": [route("root@example.org", deliver={"refuse": {}})]},
        (
            "spec.routes[0]: this route turns the postmaster's mail away: mail from anyone for Root@Example.org, "
            "postmaster@example.org, postmaster@mx.example.org must reach a person (RFC 5321 §4.5.1)"
        ),
    ),
    "a postmaster whose mail is discarded": (
        {"postmaster": "root@example.org", "routes": [route("root@example.org", deliver={"discard": {}})]},
        (
            "spec.routes[0]: this route discards the postmaster's mail: mail from anyone for root@example.org, "
            "postmaster@example.org, postmaster@mx.example.org must reach a person (RFC 5321 §4.5.1)"
        ),
    ),
    "a domain whose postmaster's mail is discarded": (
        {"routes": [POSTMASTER, route("*@example.net", name="nowhere", deliver={"discard": {}})]},
        (
            "spec.routes[1]: this route discards the postmaster's mail: mail from anyone for postmaster@example.net "
            "must reach a person (RFC 5321 §4.5.1)"
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
    "a size that all of scratch does not hold": (
        {"messageSize": {"advertised": "1G"}},
        (
            "spec.messageSize.advertised: 1G is more than nine tenths of spec.pod.scratchSize, 1Gi: "
            "in Kubernetes, messages larger than that are refused"
        ),
    ),
    "a size that one client's share of scratch does not hold": (
        {"messageSize": {"advertised": "25Mi"}, "pod": {"scratchSize": "100Mi"}},
        (
            "spec.messageSize.advertised: 25Mi is more than one client may hold in Kubernetes, a quarter of nine "
            "tenths of spec.pod.scratchSize, 100Mi: larger messages are put off each time they come (452)"
        ),
    ),
}


@pytest.mark.parametrize("fields, warning", table(WARNINGS))
def test_what_is_unwise(fields, warning):
    """It is legal, and warned of once, by path."""
    found = spec(**fields)

    assert rules.check(found) == ()
    assert [str(fault) for fault in unwise.warnings(found)] == [warning]


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
            "a webhook by HTTP that nobody logs in to": {
                "routes": [POSTMASTER, route("a@example.org", deliver={"webhook": {"url": "http://example.org/"}})]
            },
            "a store by https, and AWS's own": {
                "routes": [
                    POSTMASTER,
                    route("a@example.org", name="a", deliver=bucket("https://minio:9000")),
                    route("b@example.org", name="b", deliver={"s3": {"bucket": "mail"}}),
                ]
            },
            "a login to NATS that waits for TLS": {
                "routes": [
                    POSTMASTER,
                    route("a@example.org", name="a", deliver=stream("TLS://nats:4222", LOGIN)),
                    route("b@example.org", name="b", deliver=stream("nats://nats:4222", LOGIN | NAMED)),
                ]
            },
            "what stays on this machine": {
                "routes": [
                    POSTMASTER,
                    route("a@example.org", name="a", deliver=bucket("http://127.0.0.1:9000")),
                    route("b@example.org", name="b", deliver=bucket("http://[::1]:9000")),
                    route("c@example.org", name="c", deliver=stream("nats://localhost", LOGIN)),
                ]
            },
            "NATS without a login": {
                "routes": [POSTMASTER, route("a@example.org", deliver=stream("nats://nats:4222", {}))]
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
            "no Service, where a node's network leads to the pods": {
                "service": {"type": "None"},
                "network": {"hostNetwork": True},
            },
            "one of a route's recipients is left": {
                "routes": [POSTMASTER, route("postmaster@mx.example.org", "a@example.org", name="rest")]
            },
            "a size that is advertised, and not enforced": {"messageSize": {"advertised": "2Gi", "enforce": False}},
            "no limit of size": {"messageSize": {"advertised": 0}},
            "a size that scratch was made larger for": {
                "messageSize": {"advertised": "1G"},
                "pod": {"scratchSize": "5G"},
            },
            "a small volume for mailboxes, and none on it": {"pod": {"mailboxSize": "1Mi"}},
            "a narrow route above a wide one": {
                "routes": [POSTMASTER, route("*@*.example.org", name="wide"), route("*@*", name="wider")]
            },
        }
    ),
)
def test_what_is_not_warned_of(fields):
    """The same settings, where they are right."""
    assert unwise.warnings(spec(**fields)) == ()


def test_a_size_that_the_volume_of_mailboxes_does_not_hold():
    """Beside the warning that mail on it is lost one day."""
    routes = [route("postmaster@mx.example.org", deliver={"maildir": {}})]
    warnings = [str(warning) for warning in unwise.warnings(spec(routes=routes, pod={"mailboxSize": "20Mi"}))]

    assert warnings[1:] == [
        (
            "spec.messageSize.advertised: 25Mi is more than nine tenths of spec.pod.mailboxSize, 20Mi: in Kubernetes, "
            "larger messages are put off each time they come (452)"
        )
    ]


def test_warnings_of_the_largest_spec_come_at_once():
    """6,400 patterns full of stars, each compared with those of the routes above."""
    routes = [route(*(f"*a{r:02}*b{i:02}*@*c{i:02}*.org" for i in range(100)), name=f"r{r}") for r in range(64)]

    assert [warning.path for warning in unwise.warnings(spec(routes=routes))] == ["spec.routes"]
