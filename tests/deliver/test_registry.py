"""From the document to the destination."""

import json
from pathlib import Path

import pytest

from mailport.contract import documents
from mailport.contract.model import Deliver
from mailport.deliver import registry
from mailport.deliver.discard import Discard
from mailport.deliver.maildir.destination import Maildir
from mailport.deliver.nats.destination import Nats
from mailport.deliver.next_hop.lmtp import Lmtp
from mailport.deliver.next_hop.smtp import Smtp
from mailport.deliver.refuse import Refuse
from mailport.deliver.registry import DESTINATIONS, Surroundings, build, not_installed
from mailport.deliver.s3.destination import S3
from mailport.deliver.webhook.destination import Webhook
from mailport.outward.allowed import Allowed
from mailport.outward.dial import Dialer
from tests.tables import table


@pytest.mark.parametrize(
    "deliver, served_by",
    table(
        {
            "a maildir": ({"maildir": {}}, Maildir),
            "discard": ({"discard": {}}, Discard),
            "refuse": ({"refuse": {}}, Refuse),
            "a mailbox server": ({"lmtp": {"host": "dovecot.mail.svc", "port": 24}}, Lmtp),
            "a program": ({"webhook": {"url": "https://tickets.example.org/inbound"}}, Webhook),
            "a bucket": ({"s3": {"bucket": "mail"}}, S3),
            "a stream": ({"nats": {"url": "nats://nats.mail.svc", "stream": "MAIL", "subject": "mail"}}, Nats),
            "another mail server": ({"smtp": {"host": "smarthost.example.org"}}, Smtp),
        }
    ),
)
async def test_a_route_gets_its_destination(tmp_path: Path, deliver: dict[str, object], served_by: type):
    """What a route names is what serves it."""
    around = Surroundings("mx.example.org", tmp_path, Dialer(Allowed()))
    destination = build(Deliver.model_validate_json(json.dumps(deliver)), around, {})
    await destination.close()

    assert isinstance(destination, served_by)
    assert deliver.keys() == {destination.kind}


def test_each_is_registered_under_its_name_in_the_document():
    """A kind that no document can name would never be used."""
    assert DESTINATIONS.keys() == Deliver.model_fields.keys()
    assert all(kind == destination.kind for kind, destination in DESTINATIONS.items())


def test_those_that_can_refuse_come_first():
    """A message for several destinations goes to them in this order, and no two share a place."""
    assert sorted(DESTINATIONS, key=lambda kind: DESTINATIONS[kind].rank) == [
        "refuse",
        "smtp",
        "lmtp",
        "webhook",
        "nats",
        "s3",
        "maildir",
        "discard",
    ]
    assert len({destination.rank for destination in DESTINATIONS.values()}) == len(DESTINATIONS)


DOCUMENT = """
apiVersion: mailport.dev/v1alpha1
kind: InboundSmtp
metadata: {name: mx}
spec:
  hostname: mx.example.org
  listeners: [{name: smtp, port: 2525}]
  routes:
    - {name: postmaster, recipients: [postmaster@example.org], deliver: {maildir: {}}}
    - {name: others, recipients: ["*@example.org"], deliver: {%s}}
"""


def test_what_is_not_installed_is_said_with_how_to(monkeypatch: pytest.MonkeyPatch):
    """One line; of documents that do not use it, none."""
    monkeypatch.setattr(registry, "find_spec", lambda _: None)
    spec = documents.load([("-", (DOCUMENT % "s3: {bucket: mail}").encode())]).gateway.spec
    other = documents.load([("-", (DOCUMENT % "discard: {}").encode())]).gateway.spec

    assert [str(fault) for fault in not_installed(spec)] == [
        'spec.routes[1].deliver.s3: needs the extra "s3", which is not installed: pip install ".[s3]" in its folder'
    ]
    assert [*not_installed(other)] == []
