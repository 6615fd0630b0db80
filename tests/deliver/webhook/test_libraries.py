"""What is sent, read by the libraries that its receivers use."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from standardwebhooks import Webhook, WebhookVerificationError

from mailport.deliver.webhook.destination import Proof
from mailport.deliver.webhook.signature import BadKeys, Keys
from tests.deliver.conftest import MESSAGE, deliver
from tests.deliver.webhook.receivers import Request, receiving, webhook
from tests.messages import TRACE
from tests.tables import table

OLD, NEW = (f"whsec_{b64encode(bytes([n]) * 32).decode()}" for n in (1, 2))
LARGE = MESSAGE + b"x" * 300_000


async def sent(content: bytes = MESSAGE, proof: Proof | None = None, **settings: Any) -> Request:
    async with receiving() as receiver, webhook(receiver.port, proof=proof, **settings) as hook:
        await deliver(hook, "anna@example.org", content=content)
        return receiver.requests[0]


@pytest.mark.parametrize("kind", ["Raw", "JSON", "CloudEvents"])
@pytest.mark.parametrize("content", [MESSAGE, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    "secret",
    table({"a key": f"{NEW}\n", "without its prefix": NEW.removeprefix("whsec_"), "two keys": f"{OLD}\n{NEW}\n"}),
)
async def test_standard_webhooks_verifies_the_signature(kind: str, content: bytes, secret: str):
    """By any of the keys; and not where an octet is another."""
    request = await sent(content, Proof(Keys(secret.encode())), format=kind)
    headers = dict(request.headers)
    body = request.body.decode()
    verifier = Webhook(NEW)

    if kind == "JSON":
        assert verifier.verify(body, headers) == json.loads(body)
    else:  # the library reads what it has verified as JSON
        with pytest.raises(json.JSONDecodeError):
            verifier.verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        verifier.verify(body + " ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(b64encode(b"3" * 32).decode()).verify(body, headers)
    if "\n" in secret.strip():
        assert len(request.headers["webhook-signature"].split()) == 2


@pytest.mark.parametrize(
    "secret, why",
    table(
        {
            "nothing": (b" \n", "0 keys"),
            "no base64": (b"s3cr3t!", "key 1 is not base64"),
            "the second": (f"{NEW}\ns3cr3t!".encode(), "key 2 is not base64"),
            "too short": (b64encode(b"s3cr3t"), "key 1 has 6 octets"),
            "too long": (b64encode(b"s3cr3t" * 20), "key 1 has 120 octets"),
            "too many": (f"{NEW}\n".encode() * 9, "9 keys"),
            "a public key": (b"whpk_c3NzcwNzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3M=", "not base64"),
        }
    ),
)
def test_keys_that_cannot_be_used_are_not_quoted(secret: bytes, why: str):
    with pytest.raises(BadKeys, match=why) as raised:
        Keys(secret)

    assert "s3cr3t" not in str(raised.value)
    assert "s3cr3t" not in repr(Keys(NEW.encode()))


@pytest.mark.parametrize("content", [MESSAGE, LARGE], ids=["small", "large"])
async def test_cloudevents_reads_the_event(content: bytes):
    """In binary mode: attributes in header fields, the message itself as data."""
    request = await sent(content, format="CloudEvents")
    event = from_binary(HTTPMessage(dict(request.headers), request.body), JSONFormat(), CloudEvent)

    assert event.get_data() in (TRACE + content, (TRACE + content).decode())
    assert event.get_type() == "dev.mailport.message.received"
    assert event.get_specversion() == "1.0"
    assert event.get_id() == request.headers["webhook-id"]
    assert event.get_source() == "//mx.example.org/smtp"
    assert event.get_datacontenttype() == "message/rfc822"
    assert event.get_time().isoformat() == "2026-11-23T14:12:05.999999+00:00"
    assert request.headers["Mailport-Rcpt-To"] == "anna@example.org"
