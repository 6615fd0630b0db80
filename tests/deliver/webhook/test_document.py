"""The JSON document: every one is as docs/webhook.schema.json says, and holds nothing that is not said there."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mailport.address.mail_address import Address
from mailport.authentication.result import Disposition
from mailport.deliver.webhook import bodies, document
from mailport.deliver.webhook.document import Document
from mailport.message import header
from mailport.message.content import Space
from mailport.message.message import Message
from mailport.mime import reading
from tests.authentication.test_results_field import ALL
from tests.messages import ENVELOPE, hold, message
from tests.mime.hostile import HOSTILE
from tests.mime.octets import Octets
from tests.mime.test_reading import ALTERNATIVE, ODD, lines, messages
from tests.tables import table

DOCS = Path(__file__).parents[3] / "docs"
SCHEMA = json.loads((DOCS / "webhook.schema.json").read_text())
RECIPIENTS = [Address.parse("anna@example.org"), Address.parse("jörg@exämple.org")]


def closed(schema: Any) -> Any:
    """The schema without room for what it does not name: receivers have to leave it, we have not."""
    if isinstance(schema, dict):
        more = {"additionalProperties": False} if "properties" in schema else {}
        return {key: closed(value) for key, value in schema.items()} | more
    return [closed(value) for value in schema] if isinstance(schema, list) else schema


VALIDATOR = Draft202012Validator(closed(SCHEMA))


def document_of(message: bytes, envelope: Any = ENVELOPE) -> dict[str, Any]:
    source = Octets(message)
    begin = document.begin(envelope, RECIPIENTS, len(message), Disposition.DELIVER, None)
    whole = b"".join(Document(begin, reading.read(source, source.size), source).pieces())
    found = json.loads(whole.decode())
    VALIDATOR.validate(found)
    for one in found["attachments"]:
        content = base64.b64decode(one["content"], validate=True)
        assert one["size"] == len(content)
        assert one["sha256"] == hashlib.sha256(content).hexdigest()
    return found


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)


def test_what_is_known_of_a_message():
    """The envelope, the session, and what the message says, decoded."""
    message = lines(
        "Return-Path: <sender@example.net>\nFrom: =?utf-8?q?Anna_M=C3=BCller?= <anna@example.org>\n"
        "To: list: a@x, b@y;\nSubject: =?iso-8859-1?q?Gr=FC=DFe?=\nMessage-ID: <1@x>\nReferences: <2@x> <3@x>\n"
        "Date: Sat, 28 Nov 2026 22:00:00 +0100\n" + ALTERNATIVE
    )
    envelope = ENVELOPE._replace(user="anna", tls=("TLSv1.3", "TLS_AES_256_GCM_SHA384"), smtputf8=True, helo="h\udcff")
    found = document_of(message, envelope)

    assert found | {"headers": [], "attachments": []} == {
        "version": 1,
        "id": "4bXyZ1",
        "time": "2026-11-23T14:12:05.999999+00:00",
        "size": len(message),
        "disposition": "deliver",
        "envelope": {
            "sender": "sender@example.net",
            "recipients": [str(one) for one in RECIPIENTS],
            "smtputf8": True,
        },
        "session": {
            "client": {"address": "192.0.2.1", "port": 40025},
            "helo": "h?",
            "tls": {"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384"},
            "user": "anna",
            "listener": "smtp",
            "hostname": "mx.example.org",
        },
        "subject": "Grüße",
        "date": "2026-11-28T22:00:00+01:00",
        "messageId": "<1@x>",
        "inReplyTo": [],
        "references": ["<2@x>", "<3@x>"],
        "from": [{"name": "Anna Müller", "address": "anna@example.org"}],
        "sender": [],
        "replyTo": [],
        "to": [{"name": "", "address": "a@x"}, {"name": "", "address": "b@y"}],
        "cc": [],
        "headers": [],
        "text": "Grüße",
        "html": "<b>Grüße</b>",
        "attachments": [],
        "problems": [],
    }
    assert [field["name"] for field in found["headers"]][:3] == ["Return-Path", "From", "To"]
    assert found["attachments"][0]["contentId"] == "image@1"


async def test_what_was_found_out_about_the_sender_is_that_of_mailport_check():
    """By the same schema, with the field that stands on top of the message; absent where nothing was asked."""
    content = await hold(space := Space(), b"X-Spam-Flag: no\r\n\r\nx\r\n")
    section = header.parse(await content.head(99), ENVELOPE.hostname, whole=True)
    asked = Message(ENVELOPE, content, section, None, authentication=ALL, disposition=Disposition.QUARANTINE)
    found = json.loads(bodies.as_document(asked, RECIPIENTS, None))
    VALIDATOR.validate(found)
    results = json.loads((DOCS / "check.schema.json").read_text())
    Draft202012Validator(results | results["properties"]["results"] | {"title": ""}).validate(found["authentication"])

    assert found["disposition"] == "quarantine"
    assert found["authentication"]["spf"]["result"] == ALL.spf.result
    assert "Authentication-Results" in [field["name"] for field in found["headers"]]
    assert "authentication" not in document_of(b"\r\n", ENVELOPE._replace(sender=None))
    content.close()
    space.close()


@pytest.mark.parametrize("message", table({name: case[0] for name, case in ODD.items()}))
def test_of_messages_that_are_not_quite(message: str):
    document_of(lines(message))


@pytest.mark.parametrize("make", table(HOSTILE))
def test_of_messages_that_are_made_to_be_hard(make: Any):
    document_of(make(20_000))


@settings(max_examples=40)
@given(messages())
def test_of_messages_that_the_library_writes(message: bytes):
    document_of(message)


@settings(max_examples=60)
@given(st.binary(max_size=400))
def test_of_any_octets(octets: bytes):
    document_of(octets)


async def test_a_fault_of_ours_in_reading_keeps_no_message_from_its_receiver(monkeypatch: pytest.MonkeyPatch):
    """It is in the document whole, and the log has the fault."""

    def broken(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(reading, "read", broken)
    content = await hold(space := Space(), b"Subject: x\r\n\r\nx\r\n")
    whole = await message(content)
    found = json.loads(bodies.as_document(whole, RECIPIENTS, None))
    VALIDATOR.validate(found)

    assert found["problems"] == [{"part": "", "problem": "not read"}]
    [attachment] = found["attachments"]
    assert attachment["type"] == "message/rfc822"
    assert base64.b64decode(attachment["content"]) == b"".join(whole.chunks(final=True))
    content.close()
    space.close()
