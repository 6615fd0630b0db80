"""What is decided without a server: subjects, what a stream's settings mean, answers, keys."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mailport.address.mail_address import Address
from mailport.deliver.destination import Refused, Unavailable
from mailport.deliver.nats import answers, stream, subjects
from mailport.deliver.nats.credentials import Nkey, read
from mailport.deliver.secret_values import BadCredentials
from tests.deliver.nats.keys import Key, account
from tests.tables import table


@pytest.mark.parametrize(
    "template, address, subject",
    table(
        {
            "domain and local part": ("mail.{domain}.{local}", "anna@example.org", "mail.example.org.anna"),
            "in the case in which addresses are compared": ("{local}.{domain}", "Anna@Example.ORG", "anna.example.org"),
            "a dot of the local part is no token's end": ("mail.{local}", "anna.b@example.org", "mail.anna=2Eb"),
            "nor is anything a wildcard": ("mail.{local}", '"*.>"@example.org', "mail.=2A=2E=3E"),
            "nor is it nothing": ("mail.{local}", '""@example.org', "mail.="),
            "nor a blank": ("mail.{local}", '"a b"@example.org', "mail.a=20b"),
            "the sign itself": ("mail.{local}", "a=2Eb@example.org", "mail.a=3D2eb"),
            "not ASCII": ("mail.{local}", "änna@example.org", "mail.=C3=A4nna"),
            "an international domain": ("mail.{domain}", "a@bücher.example", "mail.xn--bcher-kva.example"),
            "a literal": ("mail.{domain}", "a@[192.0.2.1]", "mail.=5B192.0.2.1=5D"),
            "nothing to fill in": ("mail", "anna@example.org", "mail"),
        }
    ),
)
def test_a_subject(template: str, address: str, subject: str):
    assert subjects.subject(template, Address.parse(address)) == subject


@pytest.mark.parametrize(
    "patterns, name, does",
    table(
        {
            "the same": (["mail"], "mail", True),
            "longer": (["mail"], "mail.a", False),
            "shorter": (["mail.a"], "mail", False),
            "one token": (["mail.*"], "mail.a", True),
            "not two": (["mail.*"], "mail.a.b", False),
            "all that follow": (["mail.>"], "mail.a.b", True),
            "at least one": (["mail.>"], "mail", False),
            "one of several": (["post", "mail.*.b"], "mail.a.b", True),
            "none": ([], "mail", False),
        }
    ),
)
def test_what_a_stream_takes(patterns: list[str], name: str, *, does: bool):
    assert subjects.matches(patterns, name) is does


GOOD = {"storage": "file", "retention": "limits", "discard": "new", "num_replicas": 3, "max_age": 0}


@pytest.mark.parametrize(
    "config, why_not, reasons",
    table(
        {
            "three replicas that drop nothing": ({}, "", []),
            "a work queue is fine": ({"retention": "workqueue"}, "", []),
            "in memory": ({"storage": "memory"}, "memory", []),
            "without acknowledgements": ({"no_ack": True}, "no_ack", []),
            "of interest": ({"retention": "interest"}, "interest", []),
            "sealed": ({"sealed": True}, "sealed", []),
            "one replica": ({"num_replicas": 1}, "", ["StreamNotSynced"]),
            "written later": ({"persist_mode": "async"}, "", ["StreamNotSynced"]),
            "a day": ({"max_age": 86_400_000_000_000}, "", ["StreamMayDiscard"]),
            "old mail makes room": ({"discard": "old", "max_bytes": 1000}, "", ["StreamMayDiscard"]),
            "… where there is a limit": ({"discard": "old", "max_bytes": -1, "max_msgs": -1}, "", []),
            "so many a subject": ({"max_msgs_per_subject": 5}, "", ["StreamMayDiscard"]),
            "… and then none more": ({"max_msgs_per_subject": 5, "discard_new_per_subject": True}, "", []),
            "both": ({"num_replicas": 1, "max_age": 1}, "", ["StreamNotSynced", "StreamMayDiscard"]),
        }
    ),
)
def test_what_a_streams_settings_mean(config: dict[str, Any], why_not: str, reasons: list[str]):
    found = stream.read({"config": {**GOOD, **config}})

    assert why_not in found.why_not
    assert bool(why_not) is bool(found.why_not)
    assert [reason for reason, _ in found.not_durable] == reasons


@pytest.mark.parametrize(
    "answer, kind, reason",
    table(
        {
            "no such stream": ({"error": {"err_code": 10059, "description": "x"}}, Unavailable, "misconfigured"),
            "another stream's subject": ({"error": {"err_code": 10060}}, Unavailable, "misconfigured"),
            "full": (
                {"error": {"err_code": 10077, "description": "maximum bytes exceeded"}},
                Unavailable,
                "unavailable",
            ),
            "no quorum": ({"error": {"code": 503, "err_code": 10008}}, Unavailable, "unavailable"),
            "a code of a later version": ({"error": {"err_code": 99999}}, Unavailable, "unavailable"),
            "larger than the stream takes": ({"error": {"err_code": 10054}}, Refused, "refused"),
            "acknowledged by another stream": ({"stream": "OTHER", "seq": 1}, Unavailable, "misconfigured"),
            "no acknowledgement": ({}, Unavailable, "misconfigured"),
            "no object": ([], Unavailable, "unavailable"),
        }
    ),
)
def test_an_answer_that_is_no_receipt(answer: object, kind: type, reason: str):
    with pytest.raises(kind) as caught:
        answers.acknowledgement(json.dumps(answer).encode(), "MAIL")

    assert caught.value.reply.reason == f"destination_{reason}"


def test_what_is_no_json():
    with pytest.raises(Unavailable, match="cannot be read"):
        answers.acknowledgement(b"+OK", "MAIL")


@pytest.mark.parametrize(
    "cluster, has",
    table(
        {
            "one server alone is its own": (None, True),
            "a leader": ({"leader": "n1"}, True),
            "a leader without a name is none": ({"leader": ""}, False),
            "no leader": ({}, False),
        }
    ),
)
def test_whether_a_stream_has_a_leader(cluster: Any, has: bool):
    assert stream.read({"config": GOOD, "cluster": cluster}).has_leader is has


def test_a_seed_is_read():
    """What is signed is verified by a nats-server in test_login.py."""
    key = Key.make("user")
    nkey = Nkey(key.seed + b"\n")

    assert nkey.public == key.public
    assert key.seed.startswith(b"SU")
    assert repr(nkey) == f"Nkey({key.public})"


def test_the_jwt_and_the_seed_are_found_in_creds():
    creds = account().creds.replace(b"\n", b"\r\n")
    login = read({"creds": creds})

    assert login.jwt is not None
    assert login.jwt.startswith(b"ey")
    assert login.nkey is not None
    assert login.jwt.decode() not in repr(login)
    assert not [line for line in creds.split() if line.startswith(b"SU") and line.decode() in repr(login)]


@pytest.mark.parametrize(
    "values, why",
    table(
        {
            "an account's seed": ({"nkey": Key.make("account").seed}, "not a user's seed"),
            "a public key": ({"nkey": Key.make("user").public.encode()}, "truncated|not a user's seed"),
            "a letter too few": ({"nkey": Key.make("user").seed[:-1]}, "truncated|not base32"),
            "no base32": ({"nkey": b"SU!"}, "not base32"),
            "creds without a seed": (
                {"creds": b"-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------"},
                "no USER",
            ),
            "an empty token": ({"token": b"\n"}, "token is empty"),
            "a password of two lines": ({"username": b"a", "password": b"b\nc"}, "password is empty, or has a control"),
        }
    ),
)
def test_what_cannot_be_used_is_told_without_its_words(values: dict[str, bytes], why: str):
    with pytest.raises(BadCredentials, match=why) as caught:
        read(values)

    assert not any(value.decode() in str(caught.value) for value in values.values() if len(value) > 3)
