"""A machine that gives no more threads: mail is put off, readiness says so, and it is taken again when there are some.

There are none because the process may not have more memory than it has: a new thread's stack does not fit. The C
library may keep the stack of the last thread that ended, so that one more can be had: that goes to other work first.
"""

from __future__ import annotations

import resource
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clients.driver import Driver
from tests.clients.programs import RECIPIENT
from tests.serving import PASSWORD, USER, Serving, eventually, serving

pytestmark = pytest.mark.slow

LOGGED_IN = "235 2.7.0 authentication succeeded"
QUEUED = "250 2.0.0 Ok: queued as "
MESSAGE = b"Subject: a test\r\n\r\nhello\r\n.\r\n"
STACK = 64 * 1024 * 1024  # octets of a thread's stack, which the C library takes from this limit as the process starts
ROOM = STACK // 4  # octets beyond what the process has: enough to go on
NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Serving]:
    spec = {
        "listeners": [{"name": "smtp"}, {"name": "always", "auth": {"mode": "Always"}}],
        "auth": {"htpasswd": {"secretRef": {"name": "users"}}},
    }
    own = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (STACK, own[1]))
    try:
        with serving(tmp_path, spec) as running:
            yield running
    finally:
        resource.setrlimit(resource.RLIMIT_STACK, own)


@contextmanager
def no_more_threads(gateway: Serving) -> Iterator[None]:
    pages = int(Path(f"/proc/{gateway.process.pid}/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + ROOM
    resource.prlimit(gateway.process.pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(gateway.process.pid, resource.RLIMIT_AS, NO_LIMIT)


def deliver(client: Driver) -> str:
    """Return the reply to a message."""
    client.envelope(RECIPIENT)
    assert client.say("DATA").startswith("354 ")
    return client.say(MESSAGE)


def log_in(gateway: Serving) -> str:
    with Driver(gateway.ports["always"]) as client:
        client.start()
        return client.say(f"AUTH PLAIN {b64encode(f'{chr(0)}{USER}{chr(0)}{PASSWORD}'.encode()).decode()}")


def test_deliveries(gateway: Serving) -> None:
    """Each message is 451, none waits for ever; with threads again the next is taken, and readiness sees both."""
    with Driver(gateway.port) as client:
        client.start()
        with no_more_threads(gateway):
            log_in(gateway)  # takes the stack that may be left, so that no delivery has it
            for _ in range(12):  # more than a destination has threads
                assert deliver(client).startswith("451 4.3.0 ")
            assert gateway.get("/readyz") == (503, "no thread can be started\n")
            assert gateway.get("/livez")[0] == 200

        eventually(lambda: gateway.get("/readyz") == (200, "ok\n"), "ready, without any mail that tries it")
        assert deliver(client).startswith(QUEUED)
    assert len(gateway.messages(RECIPIENT)) == 1


def test_passwords(gateway: Serving) -> None:
    """Nobody is refused for good, and passwords are checked again when there are threads."""
    with Driver(gateway.port) as client, no_more_threads(gateway):
        deliver(client.start())  # takes the stack that may be left, so that no password has it
        for _ in range(6):  # more than are checked at once
            assert log_in(gateway) == "454 4.7.0 temporary authentication failure"
        assert gateway.get("/readyz") == (503, "no thread can be started\n")

    assert log_in(gateway) == LOGGED_IN
    assert gateway.get("/readyz") == (200, "ok\n")


def test_reloads(gateway: Serving) -> None:
    """A change is seen all the same: files are looked at by a thread that is there from the start."""
    with no_more_threads(gateway):
        log_in(gateway)  # takes the stack that may be left, so that no reload has it
        gateway.change({"limits": {"maxErrors": 7}})

        assert gateway.logged(event="configuration in use", at="reload")
