"""Into a bucket of versitygw's, which looks at signatures and checksums as moto does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mailport.deliver.destination import Receipt, Unavailable
from tests.deliver.conftest import MESSAGE, deliver
from tests.deliver.s3.buckets import bucket
from tests.deliver.s3.faulty import Fault, faulty
from tests.deliver.s3.servers import KEYS, Disk, versitygw
from tests.messages import TRACE
from tests.tables import table

pytestmark = [pytest.mark.slow]

KEY = "2026/11/23/4bXyZ1.eml"
LARGE = b"Subject: large\r\n\r\n" + b"y" * (12 * 1024 * 1024)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    with versitygw(tmp_path_factory.mktemp("versitygw")) as running:
        yield running


@pytest.mark.parametrize("content", table({"a small message": (MESSAGE,), "one in parts": (LARGE,)}))
async def test_a_message_is_there_as_it_is(store: Disk, content: bytes):
    async with bucket(store.url, prefix="as-it-is/") as destination:
        await destination.check()
        (outcome,) = await deliver(destination, "anna@example.org", content=content)

    assert isinstance(outcome, Receipt)
    assert store.objects()[f"as-it-is/{KEY}"] == TRACE + content


@pytest.mark.parametrize("content", table({"a small message": (MESSAGE,), "one in parts": (LARGE,)}))
async def test_its_etag_proves_that_it_has_the_message(store: Disk, content: bytes):
    """Who may write need not be allowed to read: nothing is asked for."""
    fault = Fault("nothing", "")
    async with faulty(store.port, fault) as url, bucket(url, prefix="proved/") as destination:
        await deliver(destination, "anna@example.org", content=content)

    assert {first.partition(" ")[0] for first in fault.seen} <= {"PUT", "POST"}


@pytest.mark.parametrize(
    "fault, content",
    table(
        {
            "of a small message": (Fault("PUT", "corrupt"), MESSAGE),
            "of a large one's first part": (Fault("partNumber=1", "corrupt"), LARGE),
        }
    ),
)
async def test_an_octet_that_is_another_one_on_the_way(store: Disk, fault: Fault, content: bytes):
    """The checksum tells, and nothing is there."""
    before = store.objects().keys()
    async with faulty(store.port, fault) as url, bucket(url, prefix="corrupt/") as destination:
        with pytest.raises(Unavailable) as caught:
            await deliver(destination, "anna@example.org", content=content)

    assert caught.value.reply.code == 451
    assert store.objects().keys() == before


@pytest.mark.parametrize(
    "keys, code",
    table(
        {
            "another secret": ({**KEYS, "AWS_SECRET_ACCESS_KEY": b"not-it"}, "SignatureDoesNotMatch"),
            "nobody's key": ({**KEYS, "AWS_ACCESS_KEY_ID": b"nobody"}, "(InvalidAccessKeyId|XAdminUserNotFound)"),
        }
    ),
)
async def test_keys_that_are_not_taken(store: Disk, keys: dict[str, bytes], code: str):
    """A matter of set-up, in S3's own word; and the log is told of no key."""
    before = store.objects().keys()
    async with bucket(store.url, keys=keys) as destination:
        with pytest.raises(Unavailable, match=f"HTTP 40[34]: {code}") as caught:
            await deliver(destination, "anna@example.org")
        with pytest.raises(Unavailable, match=f"HTTP 40[34]: {code}"):
            await destination.check()

    assert caught.value.reply.reason == "destination_misconfigured"
    assert not any(key.decode() in str(caught.value) for name, key in keys.items() if "SECRET" in name)
    assert store.objects().keys() == before


async def test_a_user_who_may_not_write(store: Disk):
    """A matter of set-up. A check does not see it: who may write need not be allowed to read what it asks for."""
    keys = {"AWS_ACCESS_KEY_ID": b"other", "AWS_SECRET_ACCESS_KEY": b"other-secret"}
    store.add_user(keys)
    before = store.objects().keys()
    async with bucket(store.url, keys=keys) as destination:
        with pytest.raises(Unavailable, match="HTTP 403: AccessDenied") as caught:
            await deliver(destination, "anna@example.org")
        await destination.check()

    assert caught.value.reply.reason == "destination_misconfigured"
    assert store.objects().keys() == before
