"""From the document to the destination."""

from pathlib import Path

import pytest

from mailport.deliver.build import NotInThisVersion, build
from mailport.deliver.discard import Discard
from mailport.deliver.maildir import Maildir
from mailport.deliver.refuse import Refuse
from mailport.model import Deliver
from mailport.rules import SERVED
from tests.tables import table


@pytest.mark.parametrize(
    "deliver, kind",
    table(
        {
            "a maildir": ({"maildir": {}}, Maildir),
            "discard": ({"discard": {}}, Discard),
            "refuse": ({"refuse": {}}, Refuse),
        }
    ),
)
async def test_a_route_gets_its_destination(tmp_path: Path, deliver: dict[str, object], kind: type):
    """What a route names is what serves it."""
    destination = build(Deliver.model_validate(deliver), tmp_path)
    await destination.close()

    assert isinstance(destination, kind)
    assert deliver.keys() <= SERVED


@pytest.mark.parametrize(
    "deliver",
    table(
        {
            "a mailbox server": {"lmtp": {"host": "dovecot.mail.svc", "port": 24}},
            "another mail server": {"smtp": {"host": "smarthost.example.org"}},
            "a program": {"webhook": {"url": "https://tickets.example.org/inbound"}},
            "a bucket": {"s3": {"bucket": "mail"}},
            "a stream": {
                "nats": {"url": "nats://nats.example.org:4222", "stream": "MAIL", "subject": "mail.{domain}.{local}"}
            },
        }
    ),
)
def test_what_this_version_cannot_serve_is_said_by_its_field(tmp_path: Path, deliver: dict[str, object]):
    """The document stands, and the message names the field, to be put behind `spec.routes[i].deliver.`."""
    [field] = deliver

    with pytest.raises(NotInThisVersion, match=rf"^{field}: not in this version$"):
        build(Deliver.model_validate(deliver), tmp_path)
    assert field not in SERVED
