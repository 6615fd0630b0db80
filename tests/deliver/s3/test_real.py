"""Into a bucket of moto's: what is there afterwards, and what stands beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailport.address.mail_address import Address
from mailport.contract import model
from mailport.deliver.destination import Receipt, Unavailable
from mailport.deliver.registry import Surroundings, build
from mailport.outward.allowed import Allowed
from mailport.outward.dial import Dialer
from tests.deliver.certificates import certificate
from tests.deliver.conftest import MESSAGE, deliver, held
from tests.deliver.s3.buckets import bucket
from tests.deliver.s3.faulty import Fault, faulty
from tests.deliver.s3.servers import KEYS, Store, moto
from tests.messages import TRACE
from tests.tables import table

pytestmark = [pytest.mark.slow]

KEY = "2026/11/23/4bXyZ1"  # of tests/messages.py's envelope
LARGE = b"Subject: large\r\n\r\n" + b"x" * 998 + b"\r\n" + b"y" * (12 * 1024 * 1024) + b"\r\n"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with moto(tmp_path_factory.mktemp("moto")) as running:
        yield running


@pytest.mark.both_loops
async def test_a_message_is_an_object_with_its_envelope(store: Store):
    """Under the day and its id, as it is, behind our trace fields; one object for all recipients."""
    async with bucket(store.url, prefix="in/") as destination:
        outcomes = await deliver(destination, "anna@example.org", "b%c@exämple.org")

    headers, body = store.get(f"in/{KEY}.eml")
    assert body == TRACE + MESSAGE
    assert {name: value for name, value in headers.items() if name.startswith("x-amz-meta-")} == {
        "x-amz-meta-mailport-id": "4bXyZ1",
        "x-amz-meta-mailport-mail-from": "sender@example.net",
        "x-amz-meta-mailport-rcpt-to": "anna@example.org, b%25c@ex%C3%A4mple.org",
        "x-amz-meta-mailport-client": "192.0.2.1:40025",
        "x-amz-meta-mailport-time": "2026-11-23T14:12:05+00:00",
        "x-amz-meta-mailport-disposition": "deliver",
    }
    assert headers["Content-Type"] == "message/rfc822"
    assert len(outcomes) == 2
    assert all(isinstance(one, Receipt) and one.text.startswith(f"s3://mail/in/{KEY}.eml ") for one in outcomes)


async def test_two_routes_into_one_bucket(store: Store):
    """A login's message may go by two routes: each has its objects, also where the envelopes are objects themselves."""
    many = [f"recipient-{number}@long-domain.example.org" for number in range(100)]
    async with bucket(store.url, prefix="two/") as destination, held(MESSAGE) as whole:
        for number, recipients in enumerate((["anna@example.org"], many, many[:50])):
            await destination.deliver(whole.for_route(number), [Address.parse(one) for one in recipients])

    assert [store.get(f"two/{KEY}{number}.eml")[1] for number in ("", ".2", ".3")] == [TRACE + MESSAGE] * 3
    assert store.get(f"two/{KEY}.eml")[0]["x-amz-meta-mailport-rcpt-to"] == "anna@example.org"
    assert store.get(f"two/{KEY}.3.eml")[0]["x-amz-meta-mailport-envelope"] == "4bXyZ1.3.json"
    assert json.loads(store.get(f"two/{KEY}.2.json")[1])["Mailport-Rcpt-To"] == many


async def test_a_large_message_goes_in_parts(store: Store):
    """Part after part, and the whole is there at once; nothing is left of the upload."""
    async with bucket(store.url, prefix="large/") as destination:
        await deliver(destination, "anna@example.org", content=LARGE)

    headers, body = store.get(f"large/{KEY}.eml")
    assert body == TRACE + LARGE
    assert headers["ETag"].endswith('-3"')
    assert headers["x-amz-meta-mailport-rcpt-to"] == "anna@example.org"
    assert store.uploads() == []


async def test_an_envelope_that_metadata_has_no_room_for(store: Store):
    """It is an object of its own, which the message's metadata names."""
    recipients = [f"recipient-{number}@long-domain.example.org" for number in range(100)]
    async with bucket(store.url, prefix="many/") as destination:
        await deliver(destination, *recipients)

    headers, body = store.get(f"many/{KEY}.eml")
    assert body == TRACE + MESSAGE
    assert {name: value for name, value in headers.items() if name.startswith("x-amz-meta-")} == {
        "x-amz-meta-mailport-id": "4bXyZ1",
        "x-amz-meta-mailport-envelope": "4bXyZ1.json",
    }
    envelope = json.loads(store.get(f"many/{KEY}.json")[1])
    assert envelope["Mailport-Rcpt-To"] == recipients
    assert envelope["Mailport-Mail-From"] == "sender@example.net"


@pytest.mark.parametrize(
    "settings, wanted",
    table(
        {
            "the store's own key": ({"serverSideEncryption": "AES256"}, {"x-amz-server-side-encryption": "AES256"}),
            "a key of KMS": (
                {"serverSideEncryption": "aws:kms", "kmsKeyId": "1234abcd"},
                {
                    "x-amz-server-side-encryption": "aws:kms",
                    "x-amz-server-side-encryption-aws-kms-key-id": "1234abcd",
                },
            ),
        }
    ),
)
async def test_encryption_is_asked_for(store: Store, settings: dict[str, str], wanted: dict[str, str]):
    async with bucket(store.url, prefix="encrypted/", **settings) as destination:
        await deliver(destination, "anna@example.org")

    headers, _ = store.get(f"encrypted/{KEY}.eml")
    assert {name: headers[name] for name in wanted} == wanted


async def test_it_may_be_tried_without_a_message(store: Store):
    """A bucket that is there passes, and has no object more; one that is not is a matter of set-up."""
    before = store.objects()
    async with bucket(store.url) as destination:
        await destination.check()
    async with bucket(store.url, bucket="other") as destination:
        with pytest.raises(Unavailable, match="NoSuchBucket") as caught:
            await destination.check()

    assert caught.value.reply.reason == "destination_misconfigured"
    assert store.objects() == before


async def test_a_store_that_proves_its_name_by_another_ca(store: Store, tmp_path: Path):
    """With `caRef` it is trusted, and without not: a matter of set-up."""
    tls, ca = certificate(tmp_path)
    async with faulty(store.port, Fault("nothing", ""), tls) as url:
        async with bucket(url, prefix="tls/", ca=ca) as destination:
            await destination.check()
            await deliver(destination, "anna@example.org")
        async with bucket(url, prefix="untrusted/") as destination:
            with pytest.raises(Unavailable, match="the certificate is not accepted: UnknownIssuer") as caught:
                await deliver(destination, "anna@example.org")

    assert caught.value.reply.reason == "destination_misconfigured"
    assert [key for key in store.objects() if key.startswith(("tls/", "untrusted/"))] == [f"tls/{KEY}.eml"]


def test_what_is_no_ca_is_said():
    """As of every destination: by the Secret's or ConfigMap's name, in listener/destinations.py."""
    deliver_to = model.Deliver(s3=model.S3.model_validate({"bucket": "mail"}, strict=False))
    values = {"credentialsSecretRef": KEYS, "caRef": {"ca.crt": b"not PEM"}}
    with pytest.raises(ValueError, match="PEM"):
        build(deliver_to, Surroundings("mx.example.org", Path(), Dialer(Allowed())), values)


async def test_no_connection_goes_where_none_may(store: Store):
    """Looked at before obstore, which connects by itself, is called at all."""
    before = store.objects()
    async with bucket(store.url, allowed=Allowed()) as destination:
        with pytest.raises(Unavailable, match="loopback") as caught:
            await deliver(destination, "anna@example.org")
        with pytest.raises(Unavailable, match="loopback"):
            await destination.check()

    assert caught.value.reply.reason == "destination_misconfigured"
    assert store.objects() == before


async def test_without_credentials_nothing_is_asked(store: Store, monkeypatch: pytest.MonkeyPatch):
    """Least of all the instance's metadata, which would hand out the node's role."""
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", store.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of somebody's environment")
    async with bucket(store.url, keys=None) as destination:
        with pytest.raises(Unavailable, match="no credentials") as caught:
            await deliver(destination, "anna@example.org")

    assert caught.value.reply.reason == "destination_misconfigured"
