"""What goes wrong between us and a store: what the client hears, and what is in the bucket then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest

from mailport.deliver.destination import Receipt, Refused, Unavailable
from mailport.deliver.trials import NoTurn
from tests.deliver.conftest import deliver, verify
from tests.deliver.s3.buckets import bucket
from tests.deliver.s3.faulty import Fault, faulty
from tests.deliver.s3.servers import KEYS, Store, moto
from tests.ports import free_port
from tests.tables import table

pytestmark = [pytest.mark.slow]

SMALL = b"Subject: small\r\n\r\nbody\r\n"
LARGE = b"Subject: large\r\n\r\n" + b"y" * (12 * 1024 * 1024)
UNAVAILABLE, MISCONFIGURED = "destination_unavailable", "destination_misconfigured"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with moto(tmp_path_factory.mktemp("moto")) as running:
        yield running


@pytest.mark.parametrize(
    "fault, content, why, reason, there",
    table(
        {
            "slow down, again and again": (Fault("PUT", "slow-down"), SMALL, "SlowDown", UNAVAILABLE, 0),
            "slow down, once": (Fault("PUT", "slow-down", times=1), SMALL, "", "", 1),
            "the connection is cut in the message": (Fault("PUT", "cut"), SMALL, "HTTP error", UNAVAILABLE, 0),
            "… and then no more": (Fault("PUT", "cut", times=1), SMALL, "", "", 1),
            "the answer is lost": (Fault("PUT", "lost"), SMALL, "HTTP error", UNAVAILABLE, 1),
            "no answer": (Fault("PUT", "hang"), SMALL, "no answer", UNAVAILABLE, 0),
            "a part of a large one is cut": (Fault("partNumber=2", "cut"), LARGE, "HTTP error", UNAVAILABLE, 0),
            "… and then no more ": (Fault("partNumber=2", "cut", times=1), LARGE, "", "", 1),
            "the last word on a large one is lost": (Fault("POST", "hang"), LARGE, "no answer", UNAVAILABLE, 0),
        }
    ),
)
async def test_a_fault_on_the_way(store: Store, fault: Fault, content: bytes, why: str, reason: str, there: int):
    """The message is there whole or not at all, and 250 says that it is."""
    before = set(store.objects())
    prefix = f"faults/{free_port()}/"
    async with faulty(store.port, fault) as url, bucket(url, prefix=prefix, timeoutSeconds=3) as destination:
        try:
            (outcome,) = await deliver(destination, "anna@example.org", content=content)
        except (Unavailable, Refused) as error:
            outcome = error

    if why:
        assert isinstance(outcome, Unavailable)
        assert why in str(outcome)
        assert (outcome.reply.code, outcome.reply.reason) == (451, reason)
    else:
        assert isinstance(outcome, Receipt)
    found = [key for key in store.objects() if key.startswith(prefix)]
    assert len(found) == there
    assert all(store.get(key)[1].endswith(content) for key in found)
    assert set(store.objects()) - set(found) == before


async def test_a_bucket_that_is_not_there(store: Store):
    async with bucket(store.url, bucket="other") as destination:
        with pytest.raises(Unavailable, match="HTTP 404: NoSuchBucket") as caught:
            await deliver(destination, "anna@example.org")

    assert (caught.value.reply.code, caught.value.reply.reason) == (451, MISCONFIGURED)


async def test_nobody_listens():
    """451 with the system's words, and after five failures at once, at RCPT too."""
    async with bucket(f"http://127.0.0.1:{free_port()}", timeoutSeconds=5) as destination:
        for _ in range(5):
            with pytest.raises(Unavailable, match="Connection refused"):
                await deliver(destination, "anna@example.org")
        with pytest.raises(Unavailable, match="Connection refused"):
            await verify(destination, "anna@example.org")


@asynccontextmanager
async def page(asked: list[bytes], etag: bytes) -> AsyncGenerator[str]:
    """Serve what is no store, and answers everything with 200."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\n%bContent-Length: 5\r\nConnection: close\r\n\r\nlogin" % etag)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/login"
    finally:
        listening.close()


@pytest.mark.parametrize("etag", table({"a page with an ETag": (b'ETag: "x"\r\n',), "a page without one": (b"",)}))
@pytest.mark.parametrize(
    "request_, content",
    table({"PUT": ("PUT", SMALL), "of a part": ("partNumber=2", LARGE), "the last": ("POST", LARGE)}),
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_message_that_is_sent_elsewhere_is_not_stored(
    store: Store, status: int, request_: str, content: bytes, etag: bytes
):
    """A 200 of whoever answers there is no 250 (a 303 becomes a GET); and the message itself goes nowhere else."""
    asked: list[bytes] = []
    prefix = f"elsewhere/{free_port()}/"
    async with page(asked, etag) as elsewhere:
        fault = Fault(request_, f"redirect {status} {elsewhere}")
        async with faulty(store.port, fault) as url, bucket(url, prefix=prefix, timeoutSeconds=3) as destination:
            with pytest.raises(Unavailable) as caught:
                await deliver(destination, "anna@example.org", content=content)

    assert caught.value.reply.code == 451
    assert not any(key.startswith(prefix) for key in store.objects())
    assert not any(one.startswith(b"PUT") for one in asked)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_check_that_is_sent_elsewhere_goes_nowhere(store: Store, status: int):
    """The store is not there, to where no connection may go none goes, and no session token with it."""
    asked: list[bytes] = []
    keys = {**KEYS, "AWS_SESSION_TOKEN": b"token"}
    async with page(asked, b'ETag: "x"\r\n') as elsewhere:
        fault = Fault("GET", f"redirect {status} {elsewhere}")
        async with faulty(store.port, fault) as url, bucket(url, keys=keys, timeoutSeconds=3) as destination:
            with pytest.raises(Unavailable, match=f"HTTP {status}") as caught:
                await destination.check()

    assert caught.value.reply.reason == MISCONFIGURED
    assert asked == []


@pytest.mark.parametrize(
    "fault, why, reason",
    table(
        {
            "it is looked at, and is there": ("opaque", "", ""),
            "it is not there": ("opaque HEAD 404", "is not there: a redirect", UNAVAILABLE),
            "it may not be looked at": ("opaque HEAD 403", "s3:GetObject is needed", MISCONFIGURED),
            "who looks is sent elsewhere": ("opaque HEAD 303", "HTTP 303", MISCONFIGURED),
            "the store is busy": ("opaque HEAD 503", "HTTP 503", UNAVAILABLE),
            "another one is there": ("opaque HEAD other", "is another one", UNAVAILABLE),
        }
    ),
)
@pytest.mark.parametrize("content", table({"small": (SMALL,), "large": (LARGE,)}))
async def test_an_etag_that_proves_nothing(store: Store, content: bytes, fault: str, why: str, reason: str):
    """As with a key of KMS: 250 is said when the object was seen."""
    async with (
        faulty(store.port, Fault("HTTP/1.1", fault)) as url,
        bucket(url, prefix="opaque/", timeoutSeconds=3) as destination,
    ):
        try:
            (outcome,) = await deliver(destination, "anna@example.org", content=content)
        except Unavailable as error:
            outcome = error

    if why:
        assert isinstance(outcome, Unavailable)
        assert why in str(outcome)
        assert outcome.reply.reason == reason
    else:
        assert isinstance(outcome, Receipt)


@pytest.mark.parametrize("content", table({"small": (SMALL,), "large": (LARGE,)}))
async def test_an_etag_that_is_the_contents_needs_no_look(store: Store, content: bytes):
    """Who may write need not be allowed to read."""
    fault = Fault("nothing", "")
    async with faulty(store.port, fault) as url, bucket(url, prefix="proved/") as destination:
        await deliver(destination, "anna@example.org", content=content)

    assert fault.seen
    assert not any(first.startswith(("HEAD", "GET")) for first in fault.seen)


async def test_our_own_wait_is_not_the_stores_fault():
    """Few large messages are written at a time. Those that get no turn are 451, and the store is none the worse."""
    async with bucket(f"http://127.0.0.1:{free_port()}", timeoutSeconds=1) as destination:
        destination._large = asyncio.Semaphore(0)
        late = await asyncio.gather(
            *(deliver(destination, "anna@example.org", content=LARGE) for _ in range(6)), return_exceptions=True
        )

        assert [type(one) for one in late] == [NoTurn] * 6
        await verify(destination, "anna@example.org")


async def test_who_gives_up_leaves_no_object(store: Store):
    """A delivery that is cancelled ends at once; what it had begun is in no listing."""
    fault = Fault("partNumber=2", "hang")
    async with faulty(store.port, fault) as url, bucket(url, prefix="cancelled/") as destination:
        task = asyncio.create_task(deliver(destination, "anna@example.org", content=LARGE))
        async with asyncio.timeout(10):
            await fault.happened.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert not any(key.startswith("cancelled/") for key in store.objects())
