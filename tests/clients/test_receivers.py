"""The receivers of examples/webhook, in Python, Go and JavaScript, behind `mailport serve`: a real message each."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clients.test_next_hops import LOCAL, replies, write
from tests.clients.test_webhooks import to_webhook
from tests.deliver.webhook.test_document import VALIDATOR
from tests.ports import free_port
from tests.serving import eventually, serving

pytestmark = pytest.mark.slow
FOLDER = Path(__file__).parents[2] / "examples/webhook"
KEY, OTHER = (f"whsec_{b64encode(bytes([n]) * 32).decode()}" for n in (1, 2))
PROGRAMS = {"python": (sys.executable, "receiver.py"), "go": ("go",), "node": ("node", "receiver.js")}


@contextmanager
def receiver(name: str, tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Run one; gives its port, and the folder where it puts messages."""
    folder, port = tmp_path / "received", free_port()
    folder.mkdir()
    command = [*PROGRAMS[name]]
    if name == "go":
        go = shutil.which("go") or "/usr/local/go/bin/go"
        built = tmp_path / "receiver"
        subprocess.run([go, "build", "-o", built, FOLDER / "receiver.go"], check=True, timeout=240)
        command = [str(built)]
    environment = {**os.environ, "WEBHOOK_KEY": KEY}
    process = subprocess.Popen([*command, str(port), str(folder)], env=environment, cwd=FOLDER)
    try:
        eventually(lambda: answers(port), name)
        yield port, folder
    finally:
        process.terminate()
        process.wait(20)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_receiver_takes_what_is_signed_and_nothing_else(name: str, tmp_path: Path):
    """A message of the example's document, under its webhook-id; where the key is another it is 451."""
    settings = {"format": "JSON", "signingSecretRef": {"name": "hook", "key": "key"}}
    with receiver(name, tmp_path) as (port, folder), serving(tmp_path, to_webhook(port, **settings), LOCAL) as server:
        write(server.secret("hook"), key=OTHER)
        eventually(lambda: not server.status()["missing"], "the key")
        assert replies(server)[0] == 451
        server.logged(reason="destination_misconfigured")
        assert not list(folder.iterdir())

        write(server.secret("hook"), key=KEY)
        eventually(lambda: replies(server)[0] == 250, "250")
        [file] = folder.iterdir()
        document = json.loads(file.read_text())
        VALIDATOR.validate(document)
        assert file.name.startswith("msg_")
        assert (document["subject"], document["text"]) == ("onward", "body\n")


@pytest.mark.parametrize("file", sorted(FOLDER.glob("receiver.*")), ids=lambda file: file.name)
def test_the_page_shows_what_is_tested(file: Path):
    """docs/routes.md has each receiver to the letter."""
    page = (FOLDER.parents[1] / "docs/routes.md").read_text()

    assert f"\n{file.read_text().rstrip()}\n```\n" in page
