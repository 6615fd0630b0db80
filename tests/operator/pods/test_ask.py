"""What a pod says of itself, read: its image may be anybody's."""

import asyncio
import contextlib
import json

import pytest

from mailport.operator.pods.ask import Pods, read
from mailport.operator.pods.observed import Report
from tests.tables import table

SAID = {
    "hash": "9f2c",
    "generation": 3,
    "restartRequired": False,
    "draining": False,
    "listeners": [],
    "certificates": [{"secretName": "mx-tls", "serialNumber": "01", "notAfter": "2027-01-01T00:00:00Z"}],
    "missing": [{"kind": "Secret", "name": "mx-users", "key": "htpasswd", "field": "spec.auth.htpasswd.secretRef"}],
    "reloadError": None,
    "destinations": [
        {"route": "mail", "state": "Reachable", "error": None},
        {"route": "out", "state": "Misconfigured", "error": "AUTH: 535"},
    ],
    "notDurable": [{"route": "events", "reason": "StreamNotSynced", "message": "1 of 3 replicas"}],
}


GOOD = json.dumps(SAID).encode()


def test_a_listener_is_understood():
    assert read(json.dumps(SAID).encode()) == Report(
        "9f2c",
        3,
        certificates=tuple(SAID["certificates"]),
        missing=tuple(SAID["missing"]),
        destinations=(
            {"route": "mail", "state": "Reachable"},
            {"route": "out", "state": "Misconfigured", "error": "AUTH: 535"},
        ),
        not_durable=tuple(SAID["notDurable"]),
    )


@pytest.mark.parametrize(
    "said",
    table(
        {
            "nothing": b"",
            "no JSON": b"<html>",
            "no object": b"[1]",
            "no hash": json.dumps({**SAID, "hash": None}).encode(),
            "a generation that no integer holds": json.dumps(SAID).replace(": 3", ": 1e999").encode(),
            "a generation that is no number": json.dumps(SAID).replace(": 3", ': {"a": 1}').encode(),
            "brackets without end": b"[" * 100_000,
            "a list of what are no objects": json.dumps({**SAID, "missing": [7]}).encode(),
            "a state that is no text": json.dumps({**SAID, "destinations": [{"route": "a", "state": 7}]}).encode(),
            "an error that is no text": json.dumps({**SAID, "reloadError": {"a": 1}}).encode(),
            "no text of any encoding": b"\xff\xfe\x00",
        }
    ),
)
def test_what_is_none_of_ours_is_no_answer(said):
    assert read(said) is None


@pytest.mark.parametrize(
    "answer",
    table(
        {
            "more than a status is, without end": b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (600 * 1024),
            "a way to somewhere else": b"HTTP/1.1 302 Found\r\nLocation: {other}\r\nContent-Length: 0\r\n\r\n",
            "a fault": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
            "another protocol": b"220 mx.example.org ESMTP\r\n",
        }
    ),
)
async def test_an_answer_of_another_kind_is_none(answer):
    """Nor is anybody else asked for it, nor more of it kept than a status may be."""
    asked = []

    def serving(content):
        async def serve(reader, writer):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            with contextlib.suppress(ConnectionError):
                writer.write(content)
                writer.write(b"" if content.startswith(b"HTTP/1.1 3") else GOOD)
                await writer.drain()
            writer.close()

        return serve

    async with await asyncio.start_server(serving(b"HTTP/1.1 200 OK\r\n\r\n"), "127.0.0.1", 0) as other:
        there = "http://127.0.0.1:{}/status".format(*other.sockets[0].getsockname()[1:]).encode()
        async with (
            await asyncio.start_server(serving(answer.replace(b"{other}", there)), "127.0.0.1", 0) as server,
            Pods() as pods,
        ):
            assert await pods.ask(*server.sockets[0].getsockname()) is None

    assert len(asked) == 1
