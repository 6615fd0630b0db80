"""`mailport check`: what the checks say of a message and why, question by question."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from mailport.address.ip_ranges import IpAddress, canonical
from mailport.address.mail_address import Address
from mailport.authentication.dns import Answer
from mailport.commands.options import Commands, add_command, add_files
from mailport.contract import documents
from mailport.contract.faults import Invalid
from mailport.contract.model import Spec
from mailport.listener.files import read_files

if TYPE_CHECKING:
    from mailport.checks.questions import Asked
    from mailport.listener.rehearsal import Rehearsal
    from mailport.policy.replies import Reply


@dataclass(frozen=True, slots=True)
class _Given:
    """The transaction that is played."""

    client: IpAddress
    sender: str  # as in MAIL FROM; empty for <>
    helo: str


def add(commands: Commands) -> None:
    """Describe the command and its options."""
    parser = add_command(
        commands,
        "check",
        "say what the checks find out about a message, and what would be done with it",
        "mailport check -f mx.yaml message.eml --client 192.0.2.1 --sender anna@example.org",
    )
    add_files(parser, "an InboundSmtp with spec.checks; may be given several times")
    parser.add_argument("message", metavar="MESSAGE", type=Path, help="the message, as it was received; - is stdin")
    client, sender = os.environ.get("MAILPORT_CLIENT"), os.environ.get("MAILPORT_SENDER")
    add = parser.add_argument
    add(
        "--client",
        metavar="ADDR",
        type=_client,
        default=client,
        required=client is None,
        help="the client's IP address",
    )
    add(
        "--sender",
        metavar="ADDR",
        default=sender,
        required=sender is None,
        help="the address in MAIL FROM; <> or an empty text is none",
    )
    add(
        "--helo",
        metavar="NAME",
        default=os.environ.get("MAILPORT_HELO"),
        help="the name in EHLO or HELO (default: the client's address)",
    )
    add(
        "--output",
        type=_output,
        metavar="text|json",
        default=os.environ.get("MAILPORT_OUTPUT", "text"),
        help="text for a person, json for a program: docs/check.schema.json (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    literal = f"[IPv6:{options.client}]" if options.client.version == 6 else f"[{options.client}]"
    sender = _as_text(options.sender).removeprefix("<").removesuffix(">")
    given = _Given(options.client, sender, literal if options.helo is None else _as_text(options.helo))
    return check(options.file, options.message, given, as_json=options.output == "json", out=sys.stdout, err=sys.stderr)


def check(paths: Iterable[Path], message: Path, given: _Given, *, as_json: bool, out: TextIO, err: TextIO) -> int:
    """Check a message; returns the exit code: 0, whatever is found, or 2 with the faults of document and options."""
    from mailport.listener.rehearsal import rehearse  # noqa: PLC0415 - the other commands start without it

    paths = list(paths)
    if str(message) == "-" and "-" in map(str, paths):
        print("document and message cannot both come from stdin: one of them has to be a file", file=err)
        return 2
    try:
        spec = documents.load(read_files(paths)).gateway.spec
        content = sys.stdin.buffer.read() if str(message) == "-" else message.read_bytes()
    except Invalid as invalid:
        print(invalid, file=err)
        return 2
    except OSError as error:
        print(f"{message}: {error.strerror}", file=err)
        return 2
    if spec.checks is None:
        print("spec.checks is not set: nothing is asked", file=err)
    rehearsal = asyncio.run(rehearse(spec, content, given.client, _split(given.sender), given.helo))
    out.write(_json(spec, given, rehearsal) if as_json else _text(spec, given, rehearsal))
    return 0


def _as_text(argument: str) -> str:
    """Return an argument with U+FFFD in place of octets that are no text, as they could not be written again."""
    return os.fsencode(argument).decode(errors="replace")


def _output(text: str) -> str:
    """Read the option or its variable, which argparse's `choices` would not look at."""
    if text not in ("text", "json"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither text nor json")
    return text


def _client(text: str) -> IpAddress:
    try:
        return canonical(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an IP address") from None


def _split(sender: str) -> tuple[str, str] | None:
    """Return local part and domain, even where the sender is no valid address."""
    if not sender:
        return None
    try:
        address = Address.parse(sender)
    except ValueError:
        local, _, domain = sender.rpartition("@")
        return local, domain
    return address.local, address.domain_key


def _json(spec: Spec, given: _Given, rehearsal: Rehearsal) -> str:
    return json.dumps(_described(spec, given, rehearsal), indent=2, ensure_ascii=False) + "\n"


def _described(spec: Spec, given: _Given, rehearsal: Rehearsal) -> dict[str, Any]:
    """Return what the schema in docs/check.schema.json describes."""
    from mailport.authentication import results_field  # noqa: PLC0415
    from mailport.authentication.results_json import described  # noqa: PLC0415

    found = rehearsal.authentication
    field = results_field.field(spec.hostname, found).decode() if found is not None else ""
    return {
        "client": str(given.client),
        "sender": given.sender,
        "helo": given.helo,
        "checked": found is not None,
        "trustedForwarder": rehearsal.trusted_forwarder,
        "results": described(found) if found is not None else None,
        "nullMx": rehearsal.null_mx,
        "replyToRcpt": _reply(rehearsal.at_rcpt),
        "replyToMessage": _reply(rehearsal.at_end),
        "disposition": rehearsal.disposition,
        "authenticationResults": field,
        "questions": [_question(asked) for asked in rehearsal.asked],
    }


def _reply(reply: Reply | None) -> dict[str, Any] | None:
    if reply is None:
        return None
    return {"code": reply.code, "enhanced": reply.enhanced, "text": reply.text, "reason": reply.reason}


def _question(asked: Asked) -> dict[str, Any]:
    return {
        "check": asked.check,
        "name": asked.question.name,
        "type": asked.question.type,
        "status": asked.answer.status,
        "records": _records(asked.answer),
    }


def _records(answer: Answer) -> list[str]:
    """Return the records as text; octets that are no text are written in hexadecimal."""
    texts = [text.decode("utf-8", "backslashreplace") for text in answer.texts]
    return [*map(str, answer.addresses), *(name or "." for name in answer.names), *texts]


def _text(spec: Spec, given: _Given, rehearsal: Rehearsal) -> str:
    """Write it for people, with an empty line between what was given, found, decided and asked."""
    described = _described(spec, given, rehearsal)
    found: list[str] = []
    for name, result in (described["results"] or {}).items():
        if result is None:
            continue
        several = result if isinstance(result, list) else [result]
        found += [f"{name:<6} {one['result']:<10} {_about(name, one)}" for one in several]
        found += [] if several else [f"{name:<6} {'none':<10} no signature"]
    asked = [
        f"{one['check']:<7} {one['name']} {one['type']}: {one['status']}{_listed(one['records'])}"
        for one in described["questions"]
    ]
    played = [f"client {given.client}, HELO {given.helo}, MAIL FROM:<{given.sender}>"]
    parts = (played, found, _outcome(rehearsal), asked)
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _about(name: str, one: dict[str, Any]) -> str:
    domain = one.get("domain") or ""
    if name == "dkim" and domain:
        domain = f"{domain}, selector {one['selector']}"
    if name == "dmarc" and one["policyDomain"]:
        domain = f"{domain}, p={one['policy']} of {one['policyDomain']}"
    return f"{domain}: {one['why']}" if domain else str(one["why"])


def _outcome(rehearsal: Rehearsal) -> list[str]:
    lines = []
    if rehearsal.at_rcpt is not None:
        lines.append(f"RCPT: {rehearsal.at_rcpt.code} {rehearsal.at_rcpt.enhanced} {rehearsal.at_rcpt.text}")
    if rehearsal.at_end is not None:
        lines.append(f"message: {rehearsal.at_end.code} {rehearsal.at_end.enhanced} {rehearsal.at_end.text}")
    if rehearsal.authentication is None:
        return ["message: accepted, no checks were made"]
    return lines or [f"message: accepted, disposition {rehearsal.disposition}"]


def _listed(records: Sequence[str]) -> str:
    return "".join(f"\n          {record}" for record in records)
