"""Messages of real mail programs, decoded as they were meant: tests/mime/messages/README.md."""
# ruff: noqa: RUF001 - the dash is what is sent

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.clients.test_next_hops import LOCAL
from tests.clients.test_webhooks import program, to_webhook
from tests.deliver.webhook.test_document import document_of
from tests.serving import serving

FOLDER = Path(__file__).parent / "messages"
SUBJECT = "Grüße aus Köln ☕ – eine Betreffzeile, die länger ist, als eine Zeile sein darf"
TEXT = "Grüße aus Köln! ☕\n\n.ein Punkt am Anfang\n"
HTML = '<p>Grüße aus <b>Köln</b>! ☕</p><img src="cid:bild@example.net">\n'
PDF = hashlib.sha256(b"%PDF-1.7\n\xff\x00\r\n").hexdigest()


def read(name: str) -> dict:
    found = document_of((FOLDER / f"{name}.eml").read_bytes())
    assert found["problems"] == []
    return found


@pytest.mark.parametrize("name", ["nodemailer", "angus", "python"])
def test_text_html_an_image_of_it_and_an_attachment(name: str):
    found = read(name)

    assert found["subject"] == SUBJECT
    assert found["from"] == [{"name": "Jörg Müller, Köln", "address": "joerg@example.net"}]
    assert found["to"] == [{"name": "Anna Example", "address": "anna@example.org"}]
    assert found["cc"] == [{"name": "", "address": "carl@example.org"}]
    assert found["messageId"].startswith("<")
    assert found["text"] == TEXT
    assert found["html"] == HTML
    image, pdf = found["attachments"]
    assert (image["type"], image["name"], image["contentId"], image["size"]) == (
        "image/png", "bild.png", "bild@example.net", 70,
    )  # fmt: skip
    assert (pdf["type"], pdf["name"], pdf["disposition"], pdf["sha256"]) == (
        "application/pdf", "Übersicht € 2026.pdf", "attachment", PDF,
    )  # fmt: skip


def test_swaks_which_encodes_no_text():
    """8-bit header fields and an 8-bit text without a charset, all of it UTF-8."""
    found = read("swaks")

    assert found["subject"] == "Grüße aus Köln ☕"
    assert found["from"] == [{"name": "Jörg Müller", "address": "joerg@example.net"}]
    assert found["text"].startswith(TEXT)
    [pdf] = found["attachments"]
    assert (pdf["type"], pdf["name"], pdf["sha256"]) == ("application/pdf", "Übersicht € 2026.pdf", PDF)


def test_outlook_in_rich_text():
    """The text is there, and winmail.dat whole, with what is in it."""
    found = read("outlook-rich")

    assert found["subject"] == "Grüße aus Köln"
    assert found["from"] == [{"name": "Müller, Jörg", "address": "joerg@example.net"}]
    assert found["text"] == "Grüße aus Köln, – –\n"
    [winmail] = found["attachments"]
    assert (winmail["type"], winmail["name"]) == ("application/ms-tnef", "winmail.dat")
    assert winmail["size"] > 100


def test_outlook_in_html():
    """Windows-1252, and an image that the HTML names."""
    found = read("outlook-html")

    assert found["text"] == "Grüße – 10 €\n\n[cid:image001.png@01DB4300.12345678]\n"
    assert "cid:image001.png@01DB4300.12345678" in found["html"]
    [image] = found["attachments"]
    assert (image["contentId"], image["disposition"], image["size"]) == ("image001.png@01DB4300.12345678", "inline", 70)


def take(names: list[str], command: list[str]) -> None:
    """Serve, run a program with the port behind its command, and write what came."""
    with tempfile.TemporaryDirectory() as folder, program() as receiver:
        with serving(Path(folder), to_webhook(receiver.port), LOCAL) as server:
            subprocess.run([*command, str(server.port)], check=True)
        for name, (_, body) in zip(names, receiver.requests, strict=True):
            (FOLDER / f"{name}.eml").write_bytes(body)


if __name__ == "__main__":
    take(sys.argv[1].split(","), sys.argv[2:])
