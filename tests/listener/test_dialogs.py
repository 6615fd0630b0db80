"""Conversations with the listener, as text: tests/dialogs/*.txt. Each on both event loops, with a server of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mailport.policy import command, replies
from mailport.policy.replies import Reply
from tests.listener import dialogs, playing
from tests.listener.dialogs import FOLDER, Dialog
from tests.tables import table

DIALOGS = [dialogs.load(path) for path in sorted(FOLDER.glob("*.txt"))]
SENT = "\n".join(
    (
        "--- EHLO client.example.net",
        "C: MAIL FROM:<bert@example.net>",
        "C: RCPT TO:<anna@example.org>",
        "C: BDAT 7 LAST",
        "C: hello",
        *("S: 250 …",) * 3,
    )
)


@pytest.mark.both_loops
@pytest.mark.parametrize("dialog", [pytest.param(dialog, id=dialog.name) for dialog in DIALOGS])
async def test_dialog(dialog: Dialog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What stands in the file is what a client sees, and an administrator in the log and in the mailbox."""
    for name, seconds in dialog.hurry.items():
        for module, constant in playing.HURRY[name]:
            monkeypatch.setattr(module, constant, seconds)

    async with playing.playing(dialog, tmp_path) as play:
        await play.play()


# What no dialog shows, and why.
REASONS_ELSEWHERE = {
    "unsafe_address": "needs an smtp or lmtp route: tests/policy/test_rcpt.py",
    "destination_refused": "needs a destination that refuses",
    "destination_misconfigured": "needs a destination with a set-up of its own",
    "partial_refused": "needs a destination that refuses: tests/listener/test_transaction.py",
}
CODES_ELSEWHERE = {
    "553 5.1.3": "unsafe_address",
    "554 5.3.0": "destination_refused",
}
REPLIES_ELSEWHERE = {
    "UNSAFE_ADDRESS": "needs an smtp or lmtp route: tests/policy/test_rcpt.py",
}
_ROW = re.compile(r"\| ([^|]+) \| ((?:[^|\\]|\\.)+) \| ([^|]*)\|")


def rows_of_the_contract() -> list[tuple[str, str, str]]:
    """The rows (when, reply, reason) of docs/replies.md."""
    text = (FOLDER.parents[1] / "docs" / "replies.md").read_text().replace(r"\|", "")
    rows = [match.groups() for match in map(_ROW.fullmatch, text.splitlines()) if match]
    return [row for row in rows if row[0] not in {"when", "---"}]


def said(kind: str) -> set[str]:
    return {step.text for dialog in DIALOGS for step in dialog.steps if step.kind == kind}


def test_every_reason_occurs_in_a_dialog():
    """Each reason label of docs/replies.md."""
    logged = {text.partition(" ")[0] for text in said("LOG")}
    labels = {label for _, _, reason in rows_of_the_contract() for label in re.findall(r"`(\w+)`", reason)}

    assert len(labels) > 40
    assert labels - logged == set(REASONS_ELSEWHERE)
    assert logged - labels == {"message", "error"}


def test_every_code_occurs_in_a_dialog():
    """Each reply code with its enhanced code, of docs/replies.md."""
    answered = {text[:10].rsplit(" ", 1)[0] if text[9:10] == " " else " ".join(text.split()[:2]) for text in said("S")}
    codes = {code for _, reply, _ in rows_of_the_contract() for code in re.findall(r"\b\d{3} \d\.\d+\.\d+", reply)}

    assert len(codes) > 30
    assert codes - answered == set(CODES_ELSEWHERE)


def test_every_reply_occurs_in_a_dialog():
    """Each Reply of policy/, word by word; of those that are never sent, the reason."""
    constants = {
        name: reply for module in (replies, command) for name, reply in vars(module).items() if isinstance(reply, Reply)
    }
    answered, logged = said("S"), {text.partition(" ")[0] for text in said("LOG")}
    missing = {
        name
        for name, reply in constants.items()
        if (reply.reason not in logged if reply.silent else reply.line.decode().rstrip() not in answered)
    }

    assert missing == set(REPLIES_ELSEWHERE)


def test_each_dialog_says_what_it_shows():
    """In whole sentences, at its head."""
    assert len(DIALOGS) >= 60
    assert [dialog.name for dialog in DIALOGS if not dialog.shows.endswith(".")] == []


@pytest.mark.parametrize(
    "text, complaint",
    table(
        {
            "another reply": ("S: 220 mx.example.net ESMTP Mailport", "there came b'220 mx.example.org"),
            "no reply": ("S: 220 …\nS: 220 …", "TimeoutError"),
            "a reply too many": ("S: 220 …\nC: NOOP", "nobody expected b'250"),
            "a reply before the end": ("S: 220 …\nC: QUIT\n--- closed", "before it closed there came b'221"),
            "no end": ("S: 220 …\n--- closed", "TimeoutError"),
            "a refusal that nobody named": ("S: 220 …\nC: X\nS: 500 …", "nobody named [{"),
            "another reason": ("S: 220 …\nC: X\nS: 500 …\nLOG: syntax", "unknown_command"),
            "no reason": ("S: 220 …\nLOG: syntax", "not in the log"),
            "other fields": ("S: 220 …\nC: X\nS: 500 …\nLOG: unknown_command client=192.0.2.*", "127.0.0.1"),
            "no mail": ("MAIL: anna@example.org", "no such message"),
            "mail that nobody named": (SENT, "anna"),
            "other mail": (f"{SENT}\nMAIL: anna@example.org\n| …\n| bye", "hello"),
            "a deed that nobody knows": ("--- dances", "nobody knows how"),
        }
    ),
)
async def test_a_dialog_can_fail(text: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What is not as the dialog has it is complained about."""
    monkeypatch.setattr(playing, "SECONDS", 0.2)
    with pytest.raises(AssertionError, match=re.escape(complaint)):
        async with playing.playing(dialogs.parse("wrong", text), tmp_path) as play:
            await play.play()


@pytest.mark.parametrize(
    "text",
    table(
        {
            "no step": "S: 220 …\nX: 1",
            "an unknown word at the head": "# A sentence.\nspecs: {}\n\nS: 220 …",
            "lines of no message": "S: 220 …\n| hello",
        }
    ),
)
def test_a_dialog_that_is_not_understood(text: str):
    """Nothing is passed over."""
    with pytest.raises(ValueError, match="wrong"):
        dialogs.parse("wrong", text)
