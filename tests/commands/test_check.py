"""`mailport check`: its output, and the suite that was published with SPF through the command and a DNS server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailport.__main__ import main
from mailport.address.ip_ranges import canonical, is_private
from tests.authentication import signing
from tests.authentication.test_arc_suite import PATH as ARC
from tests.authentication.test_spf_suite import PATH, _Text, zone_of
from tests.authentication.zones import Zone, suite
from tests.checks.dns_server import dns_server

ROOT = Path(__file__).parents[2]
MESSAGE = "From: anna@example.org\nSubject: hello\n\nhello\n"
ZONE: Zone = {
    "example.org": [("TXT", "v=spf1 ip4:192.0.2.1 -all")],
    "_dmarc.example.org": [("TXT", "v=DMARC1; p=reject")],
    **signing.zone(s=signing.rsa_record(signing.rsa_key())),
}


class Checking:
    """A document, a message and the command."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._document, self._message = folder / "mx.yaml", folder / "message.eml"
        self._capsys = capsys

    def __call__(self, port: int, checks: Any, *options: str, message: str | bytes = MESSAGE) -> tuple[int, str, str]:
        dns = {"dns": {"servers": [{"address": "127.0.0.1", "port": port}]}}
        document = {
            "apiVersion": "mailport.dev/v1alpha1",
            "kind": "InboundSmtp",
            "metadata": {"name": "mx"},
            "spec": {
                "hostname": "mx.example.org",
                "listeners": [{"name": "smtp", "port": 25}],
                "routes": [{"name": "all", "recipients": ["*@example.org"], "deliver": {"discard": {}}}],
                **({"checks": checks | dns} if checks is not None else {}),
            },
        }
        self._document.write_text(json.dumps(document))
        self._message.write_bytes(message if isinstance(message, bytes) else message.encode())
        status = main(["check", "-f", str(self._document), str(self._message), *options])
        out, err = self._capsys.readouterr()
        return status, out, err


@pytest.fixture
def checking(tmp_path, capsys):
    return Checking(tmp_path, capsys)


def test_text(checking):
    """For people: a line a check, what follows, and each question."""
    with dns_server(ZONE) as server:
        options = ("--client", "198.51.100.1", "--sender", "anna@example.org", "--helo", "h.example")
        status, out, err = checking(server.port, {"dmarc": {"mode": "Reject"}, "iprev": {"mode": "Disabled"}}, *options)

    assert (status, err) == (0, "")
    assert out == (
        "client 198.51.100.1, HELO h.example, MAIL FROM:<anna@example.org>\n"
        "\n"
        "spf    fail       example.org: -all of example.org\n"
        "dkim   none       no signature\n"
        "dmarc  fail       example.org, p=reject of example.org: "
        "no identifier that passes is aligned with example.org\n"
        "\n"
        "message: 550 5.7.26 rejected by the DMARC policy of the author's domain\n"
        "\n"
        "spf     example.org TXT: NOERROR\n"
        "          v=spf1 ip4:192.0.2.1 -all\n"
        "null_mx example.org MX: NODATA\n"
        "dmarc   _dmarc.example.org TXT: NOERROR\n"
        "          v=DMARC1; p=reject\n"
    )


def test_octets_that_are_no_text(checking):
    """In an argument they are shown as what cannot be shown."""
    options = ("--client", "192.0.2.1", "--sender", "a\udcff@example.org", "--helo", "\udcfe", "--output", "json")
    with dns_server(ZONE) as server:
        status, out, err = checking(server.port, {}, *options)

    assert (status, err) == (0, "")
    assert (json.loads(out)["sender"], json.loads(out)["helo"]) == ("a\N{REPLACEMENT CHARACTER}@example.org", "\ufffd")


def test_both_from_stdin(capsys):
    """The message would be empty, or the document."""
    assert main(["check", "-f", "-", "-", "--client", "192.0.2.1", "--sender", ""]) == 2
    assert capsys.readouterr().err == (
        "document and message cannot both come from stdin: one of them has to be a file\n"
    )


def test_json(checking):
    """For programs: as docs/check.schema.json describes it."""
    message = signing.sign(MESSAGE.replace("\n", "\r\n").encode(), include_headers=[b"from", b"subject"])
    options = ("--client", "192.0.2.1", "--sender", "<anna@example.org>", "--output", "json")
    with dns_server(ZONE) as server:
        status, out, _ = checking(server.port, {"arc": {"mode": "Report"}}, *options, message=message)
    found = json.loads(out)

    assert status == 0
    assert found["results"]["spf"]["result"] == "pass"
    assert found["results"]["dkim"][0]["result"] == "pass"
    assert found["results"]["dmarc"] == {
        "result": "pass",
        "domain": "example.org",
        "policyDomain": "example.org",
        "policy": "reject",
        "alignedBy": "spf",
        "why": "spf passes, and is of example.org or its organization",
    }
    assert (found["replyToRcpt"], found["replyToMessage"], found["disposition"]) == (None, None, "deliver")
    assert found["authenticationResults"].startswith("Authentication-Results: mx.example.org;\r\n\tiprev=permerror")
    assert {"check": "spf", "name": "example.org", "type": "TXT", "status": "NOERROR"}.items() <= next(
        question for question in found["questions"] if question["check"] == "spf"
    ).items()
    assert not faults(json.loads((ROOT / "docs/check.schema.json").read_text()), found)


def test_text_where_nothing_is_asked(checking):
    """No part of it is an empty one."""
    _, out, _ = checking(53, None, "--client", "192.0.2.1", "--sender", "")

    assert out == "client 192.0.2.1, HELO [192.0.2.1], MAIL FROM:<>\n\nmessage: accepted, no checks were made\n"


@pytest.mark.parametrize("checks", [None, {"exemptCIDRs": ["192.0.2.0/24"]}])
def test_nothing_is_asked(checking, checks):
    """Without spec.checks, and of a client that is exempt."""
    options = ("--client", "192.0.2.1", "--sender", "", "--output", "json")
    status, out, err = checking(53, checks, *options)
    found = json.loads(out)

    assert (status, found["checked"], found["results"]) == (0, False, None)
    assert ("spec.checks is not set" in err) is (checks is None)
    assert not faults(json.loads((ROOT / "docs/check.schema.json").read_text()), found)


@pytest.mark.parametrize(("option", "text"), [("--client", "mail.example.org"), ("--client", "192.0.2.1/24")])
def test_bad_options(checking, option, text):
    """What is no address is refused."""
    with pytest.raises(SystemExit) as ended:
        checking(53, {}, option, text, "--sender", "")

    assert ended.value.code == 2


def test_no_message(checking, tmp_path, capsys):
    """A message that cannot be read is exit status 2, and one line."""
    checking(53, None, "--client", "192.0.2.1", "--sender", "")
    status = main(
        ["check", "-f", str(tmp_path / "mx.yaml"), str(tmp_path / "none.eml"), "--client", "::1", "--sender", ""]
    )

    assert status == 2
    assert capsys.readouterr().err == f"{tmp_path / 'none.eml'}: No such file or directory\n"


@pytest.mark.slow
def test_spf_suite(checking):
    """The published suite through command, resolver and a DNS server: of private clients SPF says nothing here."""
    run, wrong = 0, []
    for scenario in yaml.load_all(suite(PATH).read_text(), Loader=_Text):
        with dns_server(zone_of(scenario["zonedata"])) as server:
            for name, case in scenario["tests"].items():
                options = ("--client", case["host"], "--sender", case["mailfrom"], "--helo", case["helo"])
                disabled = {check: {"mode": "Disabled"} for check in ("dkim", "dmarc", "iprev")}
                _, out, _ = checking(server.port, disabled, *options, "--output", "json")
                expected = case["result"] if isinstance(case["result"], list) else [case["result"]]
                if is_private(canonical(case["host"])):
                    expected = ["none"]
                result = json.loads(out)["results"]["spf"]
                run += 1
                if result["result"] not in expected:
                    wrong.append((name, expected, result))

    assert not wrong
    assert run == 203


@pytest.mark.slow
def test_arc_suite(checking):
    """The published ARC suite likewise."""
    run, wrong = 0, []
    for scenario in yaml.load_all(suite(ARC).read_text(), Loader=yaml.CSafeLoader):
        zone: Zone = {name: [("TXT", text)] for name, text in (scenario["txt-records"] or {}).items()}
        with dns_server(zone) as server:
            for name, case in scenario["tests"].items():
                options = ("--client", "192.0.2.1", "--sender", "jqd@d1.example.org", "--output", "json")
                disabled = {check: {"mode": "Disabled"} for check in ("spf", "dkim", "dmarc", "iprev")}
                message = case["message"].encode()
                _, out, _ = checking(server.port, disabled | {"arc": {"mode": "Report"}}, *options, message=message)
                result = json.loads(out)["results"]["arc"]
                run += 1
                if result["result"] != (case["cv"] or "fail").lower():
                    wrong.append((name, case["cv"], result))

    assert not wrong
    assert run == 171


def faults(schema: dict[str, Any], value: Any, path: str = "$") -> list[str]:
    """What of a value is not as its JSON schema has it: as much of JSON Schema as the file uses."""
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "null": type(None)}
    allowed = schema.get("type", [])
    allowed = [allowed] if isinstance(allowed, str) else allowed
    if not any(isinstance(value, kinds[kind]) for kind in allowed):
        return [f"{path} is no {allowed}"]
    found = []
    if "enum" in schema and value is not None and value not in schema["enum"]:
        found.append(f"{path} is {value!r}")
    if isinstance(value, dict):
        properties = schema["properties"]
        if set(value) != set(properties) or set(schema["required"]) != set(properties):
            found.append(f"{path} has {sorted(value)}")
        for name, below in value.items():
            found += faults(properties[name], below, f"{path}.{name}")
    if isinstance(value, list):
        for number, item in enumerate(value):
            found += faults(schema["items"], item, f"{path}[{number}]")
    return found
