"""Files: what of YAML and JSON is read, what a set of files must hold, and what `mailport validate` prints."""

from __future__ import annotations

import io
import json
import time
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from mailport.commands.validate import validate
from mailport.contract import documents, yaml_text
from mailport.contract.faults import Invalid
from mailport.listener.tls import self_signed
from tests.tables import table

ROOT = Path(__file__).parents[2]

NOT_A_KEY = "must be a key of a Secret or ConfigMap: A-Z, a-z, 0-9, -, _ and ., not . alone and not .. at its beginning"
GATEWAY = b"""\
apiVersion: mailport.dev/v1alpha1
kind: InboundSmtp
metadata: {name: mx}
spec:
  hostname: mx.example.org
  listeners: [{name: smtp, port: 25}]
  routes:
  - {name: postmaster, recipients: [postmaster@mx.example.org], deliver: {maildir: {claimName: mail}}}
"""
SECRET = b"""\
---
apiVersion: v1
kind: Secret
metadata: {name: users, namespace: mail}
type: Opaque
data: {htpasswd: YW5uYTokMnkkaHVudGVyMg==, both: YQ==}
stringData: {both: b}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: ca}
data: {ca.crt: "-----BEGIN"}
binaryData:
  der: |
    MII=
---
"""


def faults(*files: tuple[str, bytes]) -> list[str]:
    with pytest.raises(Invalid) as caught:
        documents.load(files)
    return [str(fault) for fault in caught.value.faults]


# --- text into values


@pytest.mark.parametrize(
    "text, value",
    table(
        {
            "true and false are booleans": ("[true, false, True, FALSE]", [True, False, True, False]),
            "on, off, yes, no, y and n are texts": ("[on, Off, YES, no, y, N]", ["on", "Off", "YES", "no", "y", "N"]),
            "null has four spellings, and nothing": ("[null, ~, Null, NULL, '']", [None, None, None, None, ""]),
            "a value left out is null": ("a:", {"a": None}),
            "integers are decimal": ("[0, 25, -1, +7]", [0, 25, -1, 7]),
            "octal, as kubectl reads it": ("[0660, 0o660]", [0o660, 0o660]),
            "hexadecimal": ("[0x1F]", [31]),
            "what only looks octal is a text": ("[089, 0o8, 0xg]", ["089", "0o8", "0xg"]),
            "no underscores": ("[1_000]", ["1_000"]),
            "no base 60": ("[190:20:30, 1:20]", ["190:20:30", "1:20"]),
            "no dates": ("[2026-11-23, 2026-11-23T14:00:00Z]", ["2026-11-23", "2026-11-23T14:00:00Z"]),
            "fractions": ("[1.5, .5, 1e3, 1.]", [1.5, 0.5, 1000.0, 1.0]),
            "no infinity, and no NaN": ("[.inf, .nan, 1e999]", [".inf", ".nan", "1e999"]),
            "what is quoted is a text": ("['25', \"true\", '']", ["25", "true", ""]),
            "so is a block": ("a: |\n  25\nb: >\n  x\n  y\n", {"a": "25\n", "b": "x y\n"}),
            "a key is a text, whatever it looks like": ("{25: a, true: b, on: c}", {"25": "a", "true": "b", "on": "c"}),
            "<< is a key like any other": ("{<<: {a: 1}, b: 2}", {"<<": {"a": 1}, "b": 2}),
            "an integer of a hundred digits is whole": ("9" * 100, int("9" * 100)),
            "a longer one is a text": ("9" * 5000, "9" * 5000),
            "a byte order mark is no content": ("\ufeffa: 1", {"a": 1}),
            "JSON with tabs": ('{\n\t"a": [1, 2.5, true, null]\n}', {"a": [1, 2.5, True, None]}),
            "JSON with a character as two surrogates": ('{"a": "\\ud83d\\ude00"}', {"a": "😀"}),
            "flow style is YAML, not JSON": ("{a: b, c: [d]}", {"a": "b", "c": ["d"]}),
            "JSON with a comment is YAML": ('{"a": 1} # one', {"a": 1}),
        }
    ),
)
def test_what_a_text_means(text, value):
    """YAML 1.2's core schema, and JSON."""
    read = yaml_text.read(text.encode())

    assert read == [value]
    assert json.dumps(read) == json.dumps([value])  # equal in type as well: 1 is not True


def test_a_file_may_hold_several_documents():
    """Empty ones do not count."""
    assert yaml_text.read(b"---\n---\na: 1\n...\n---\n# nothing\n---\nb\n---\n[]\n") == [{"a": 1}, "b", []]
    assert yaml_text.read(b"") == []


QUOTES = 'aliases (*) are not read; a text that begins with * needs quotes, as in "*@example.org"'


@pytest.mark.parametrize(
    "text, message",
    table(
        {
            "a key twice": ("a: 1\nb:\n  c: 1\n  c: 2\n", "line 4: duplicate key: it stands in line 3 already"),
            "a key twice, quoted once": ('a: 1\n"a": 2\n', "line 2: duplicate key: it stands in line 1 already"),
            "a key twice in JSON": ('{"a": {"b": 1,\n"b": 2}}', "line 2: duplicate key: it stands in line 1 already"),
            "a key twice, of a terminal's escapes": (
                '"\\e[2J": 1\n"\\e[2J": 2',
                "line 2: duplicate key: it stands in line 1 already",
            ),
            "a key that is a list": ("? [a]\n: 1\n", "line 1: a key must be a string"),
            "a key that is an alias": ("a: 1\n*b : 1\n", "line 2: a key must be a string"),
            "a pattern without quotes": ("recipients:\n- *@example.org\n", f"line 2: {QUOTES}"),
            "a star without quotes": ("addresses: [*]\n", f"line 1: {QUOTES}"),
            "an alias": ("a: x\nb: *a\n", f"line 2: {QUOTES}"),
            "an anchor": ("a: &a x\n", "line 1: anchors (&) are not read; write the value out where it is used"),
            "an anchor on a list": (
                "a:\n  - &a [x]\n",
                "line 2: anchors (&) are not read; write the value out where it is used",
            ),
            "a tag": ("a: !!python/object:os.system x\n", "line 1: tags (!) are not read"),
            "a tag on a map": ("a: !!set {x}\n", "line 1: tags (!) are not read"),
            "a tag that says nothing": ("a: ! x\n", "line 1: tags (!) are not read"),
            "a tab": ("a:\n\tb: 1\n", "line 2: found character that cannot start any token"),
            "a colon too many": ("a: b: c\n", "line 1: mapping values are not allowed in this context"),
            "a list that does not end": ("a: [1, 2\n", "line 2: did not find expected ',' or ']'"),
            "a control character": ("a: \x01\n", "not YAML: a character that YAML does not allow"),
            "deeper than any document": ("[" * 65, f"line 1: {yaml_text._TOO_DEEP}"),
            "deeper than any stack": ("[" * 100_000, f"line 1: {yaml_text._TOO_DEEP}"),
            "deeper than any stack, in block style": ("- " * 100_000, f"line 1: {yaml_text._TOO_DEEP}"),
            "deeper than any document, in JSON": ('{"a":' * 65 + "1" + "}" * 65, yaml_text._TOO_DEEP),
            "deeper than any stack, in JSON": ('{"a":' * 100_000 + "1" + "}" * 100_000, yaml_text._TOO_DEEP),
            "a number that JSON has not": ('{"a": NaN, "a": 1}', "line 1: duplicate key: it stands in line 1 already"),
        }
    ),
)
def test_what_is_not_read(text, message):
    """In one line, with its number."""
    with pytest.raises(Invalid) as caught:
        yaml_text.read(text.encode())

    assert str(caught.value) == message


def test_the_parser_in_pure_python_refuses_the_same(monkeypatch):
    """Where PyYAML was installed without libyaml."""
    monkeypatch.setattr(yaml_text, "_PARSER", yaml.SafeLoader)
    with pytest.raises(Invalid, match="line 2: aliases"):
        yaml_text.read(b"recipients:\n- *@example.org\n")
    with pytest.raises(Invalid, match="line 2: duplicate key"):
        yaml_text.read(b"a: 1\na: 2\n")

    assert yaml_text.read(b"a: [on, 25, '25', true]\n") == [{"a": ["on", 25, "25", True]}]


def test_depth_and_size_have_bounds_that_are_within_reach():
    """What is just within them is read."""
    assert yaml_text.read(b"[" * 64 + b"]" * 64)
    assert yaml_text.read(b'{"a":' * 64 + b"1" + b"}" * 64)
    assert yaml_text.read(b"a: " + b"x" * (yaml_text.MAX_BYTES - 3))
    for content, message in (
        (b"a: " + b"x" * yaml_text.MAX_BYTES, "larger than 4Mi"),
        (b"[" + b"x," * yaml_text.MAX_VALUES + b"]", "line 1: more than 100000 values"),
        (b"a: \xff", "not UTF-8, at octet 3"),
        ("a: 1".encode("utf-16"), "not UTF-8, at octet 0"),
    ):
        with pytest.raises(Invalid) as caught:
            yaml_text.read(content)
        assert str(caught.value) == message


def test_a_laughing_file_is_refused_before_it_laughs():
    """Nothing unfolds, so nothing grows."""
    bomb = b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (i, i, i - 1, i - 1) for i in range(98, 123))
    start = time.monotonic()
    with pytest.raises(Invalid, match="line 1: anchors"):
        yaml_text.read(bomb)

    assert time.monotonic() - start < 1


# --- documents into objects


def test_secrets_and_config_maps_stand_beside_the_gateway():
    """By name and key, as bytes, from any file; stringData wins over data, as in Kubernetes."""
    found = documents.load([("secrets.yaml", SECRET), ("mx.yaml", GATEWAY)])

    assert found.gateway.metadata.name == "mx"
    assert found.source == "mx.yaml"
    assert found.secrets == {"users": {"htpasswd": b"anna:$2y$hunter2", "both": b"b"}}
    assert found.config_maps == {"ca": {"ca.crt": b"-----BEGIN", "der": b"0\x82"}}


def test_what_is_secret_is_in_no_repr():
    """Nor is it in a traceback that shows locals."""
    found = documents.load([("all.yaml", GATEWAY + SECRET)])

    assert "hunter2" not in repr(found)
    assert "YW5u" not in repr(found)


def test_a_document_may_be_json():
    """As kubectl prints it."""
    text = json.dumps(yaml_text.read(GATEWAY)[0], indent="\t")

    assert documents.load([("mx.json", text.encode())]).gateway == documents.load([("mx.yaml", GATEWAY)]).gateway


def secret(**fields: object) -> bytes:
    whole = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "users"}} | fields
    return b"---\n" + json.dumps(whole).encode() + b"\n"


@pytest.mark.parametrize(
    "files, expected",
    table(
        {
            "no file": ((), ["no InboundSmtp in it"]),
            "no gateway": ((("a.yaml", SECRET), ("b.yaml", b"")), ["a.yaml, b.yaml: no InboundSmtp in it"]),
            "two gateways": (
                (("a.yaml", GATEWAY), ("b.yaml", GATEWAY)),
                ["b.yaml: a second InboundSmtp; one is in a.yaml"],
            ),
            "two gateways in one file": (
                (("a.yaml", GATEWAY + b"---\n" + GATEWAY),),
                ["a.yaml: a second InboundSmtp; one is in a.yaml"],
            ),
            "a Secret twice": (
                (("a.yaml", GATEWAY + SECRET), ("b.yaml", secret())),
                ["b.yaml: Secret users: is in a.yaml already"],
            ),
            "a Secret twice in one file": (
                (("a.yaml", GATEWAY + secret() + secret()),),
                ["a.yaml: Secret users: is in a.yaml already"],
            ),
            "an object of another kind": (
                (("a.yaml", GATEWAY), ("b.yaml", b"apiVersion: apps/v1\nkind: Deployment\n")),
                ['b.yaml: kind: must be one of "InboundSmtp", "Secret", "ConfigMap"'],
            ),
            "an object of no kind": ((("a.yaml", b"apiVersion: v1\n"),), ["a.yaml: kind: required"]),
            "a kind that is a list": (
                (("a.yaml", b"kind: [Secret]\n"),),
                ['a.yaml: kind: must be one of "InboundSmtp", "Secret", "ConfigMap"'],
            ),
            "no object at all": (
                (("a.yaml", b"- a\n"),),
                ["a.yaml: must be an object with apiVersion, kind and metadata"],
            ),
            "another version": (
                (("a.yaml", GATEWAY.replace(b"v1alpha1", b"v2")),),
                ['a.yaml: apiVersion: must be "mailport.dev/v1alpha1"'],
            ),
            "faults of several files": (
                (("a.yaml", GATEWAY.replace(b"port: 25", b"port: 0")), ("b.yaml", b"a: b: c")),
                [
                    "a.yaml: spec.listeners[0].port: must be between 1 and 65535",
                    "b.yaml: line 1: mapping values are not allowed in this context",
                ],
            ),
            "rules, once the shape is right": (
                (("a.yaml", GATEWAY.replace(b"port: 25", b"port: 8080")),),
                ["a.yaml: spec.listeners[0].port: 8080 is spec.pod.adminPort"],
            ),
            "a Secret that is not base64, of which nothing is told": (
                (("a.yaml", GATEWAY + secret(data={"htpasswd": "anna:hunter2"})),),
                [
                    (
                        "a.yaml: Secret users: data[htpasswd]: must be base64; plain text goes into a Secret's "
                        "stringData, a ConfigMap's data"
                    )
                ],
            ),
            "a Secret with a number": (
                (("a.yaml", GATEWAY + secret(stringData={"pin": 1234})),),
                ["a.yaml: Secret users: stringData[pin]: must be a string"],
            ),
            "a Secret with a field misspelt": (
                (("a.yaml", GATEWAY + secret(stringDate={"token": "hunter2"})),),
                [
                    (
                        "a.yaml: Secret users: has a field that is none of apiVersion, metadata, immutable, kind, "
                        "type, data, stringData"
                    )
                ],
            ),
            "a Secret without a name": (
                (("a.yaml", GATEWAY + secret(metadata={})),),
                ["a.yaml: Secret: metadata.name: required"],
            ),
            "a Secret whose name is none": (
                (("a.yaml", GATEWAY + secret(metadata={"name": "\x1b[2J"})),),
                ["a.yaml: Secret: metadata.name: must be the name of a Kubernetes object: a-z, 0-9, - and ."],
            ),
            "a Secret whose key is a path": (
                (("a.yaml", GATEWAY + secret(data={"../users": "YQ=="})),),
                [f"a.yaml: Secret users: data: {NOT_A_KEY}"],
            ),
        }
    ),
)
def test_what_a_set_of_files_must_hold(files, expected):
    """Exactly one gateway, and beside it Secrets and ConfigMaps only."""
    assert faults(*files) == expected


@pytest.mark.parametrize("parser", [yaml_text._PARSER, yaml.SafeLoader], ids=["libyaml", "pure Python"])
@pytest.mark.parametrize(
    "text",
    table(
        {
            "a value as a key": "stringData: {correct horse: x}",
            "a value as a field": "correct horse: x",
            "a value as a field, in quotes": '"correct horse": x',
            "a value that is not base64": "data: {password: correct horse!}",
            "a value as a tag": "stringData: {password: !correct!horse x}",
            "a value as an anchor": "stringData: {password: &correct horse}",
            "a value as an alias": "stringData: {password: *correct}",
            "a value as a directive": "\n%correct horse",
            "a value twice": "stringData: {a: 1, correct horse: 1, correct horse: 1}",
            "an htpasswd that is not indented": "stringData:\n  htpasswd: |\ncorrect: horse\n",
            "an htpasswd that is no mapping": "stringData:\n  htpasswd: |\ncorrect horse:$2y$10$x\n",
            "a quote that does not end": "stringData: {password: 'correct horse}",
            "a block within flow": "stringData: {password: correct: horse}",
            "an escape that is none": 'stringData: {password: "correct \\horse"}',
            "a control character": "stringData: {password: correct\x01horse}",
            "a list": "stringData: [correct, horse]",
            "a type": "type: [correct, horse]",
        }
    ),
)
def test_a_fault_of_a_secret_quotes_nothing_of_it(monkeypatch, text, parser):
    """Whatever is wrong with it: a fault goes to terminals, logs, /status and Events."""
    monkeypatch.setattr(yaml_text, "_PARSER", parser)
    found = faults(
        ("mx.yaml", GATEWAY), ("s.yaml", b"apiVersion: v1\nkind: Secret\nmetadata: {name: users}\n" + text.encode())
    )

    assert found
    assert not [fault for fault in found if "correct" in fault or "horse" in fault]


def test_null_is_nothing_in_a_secret():
    """As the API server has it; `kubectl create` prints `creationTimestamp: null`."""
    text = secret(data=None, stringData=None, metadata={"name": "users", "creationTimestamp": None})

    assert documents.load([("a.yaml", GATEWAY + text)]).secrets == {"users": {}}


# --- mailport validate


def run(*paths: Path) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    return validate(paths, out, err), out.getvalue(), err.getvalue()


def test_validate_says_that_a_file_is_valid(tmp_path):
    """Exit 0, on stdout."""
    path = tmp_path / "mx.yaml"
    path.write_bytes(GATEWAY)

    assert run(path) == (0, f"{path}: InboundSmtp mx is valid\n", "")


def test_validate_warns_of_what_is_unwise(tmp_path):
    """Exit 0 all the same."""
    path = tmp_path / "mx.yaml"
    path.write_bytes(GATEWAY.replace(b"{claimName: mail}", b"{}"))
    code, _, err = run(path)

    assert code == 0
    assert err == (
        f"{path}: warning: spec.routes[0].deliver.maildir.claimName: not set: in Kubernetes this mail lies in an "
        "emptyDir and is lost with the pod\n"
    )


def test_validate_knows_what_the_secrets_beside_a_gateway_hold(tmp_path):
    """A token for NATS is warned of, an nkey is not."""
    nats = b"nats: {url: nats://nats:4222, stream: MAIL, subject: mail, credentialsSecretRef: {name: nats}}"
    gateway = GATEWAY.replace(b"maildir: {claimName: mail}", nats)
    path = tmp_path / "mx.yaml"

    def warned(key: str) -> bool:
        secret = f"---\napiVersion: v1\nkind: Secret\nmetadata: {{name: nats}}\nstringData: {{{key}: x}}\n"
        path.write_bytes(gateway + secret.encode())
        code, _, err = run(path)
        assert code == 0
        return "routes[0].deliver.nats.url: a token" in err

    assert warned("token")
    assert not warned("nkey")


def test_validate_looks_at_certificates_beside_a_gateway(tmp_path):
    """One that serve could not use is a fault, as it is there; one that has expired is a warning."""
    chain, key = self_signed("mx.example.org", datetime.now(UTC))
    other, _ = self_signed("mx.example.org", datetime.now(UTC) - timedelta(days=2000))
    gateway = GATEWAY.replace(b"  routes:", b"  tls: {certificateRefs: [{name: mx-tls}]}\n  routes:")
    path = tmp_path / "mx.yaml"

    def said(**values: bytes) -> tuple[int, str]:
        data = {name.replace("_", "."): b64encode(value).decode() for name, value in values.items()}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mx-tls"}, "data": data}
        path.write_bytes(gateway + b"---\n" + json.dumps(secret).encode())
        code, _, err = run(path)
        return code, err

    assert said(tls_crt=chain, tls_key=key) == (0, "")
    code, err = said(tls_crt=other, tls_key=key)
    assert (code, "Secret mx-tls" in err, "key" in err) == (2, True, True), err
    code, err = said(tls_crt=chain)
    assert (code, err) == (2, "Secret mx-tls: it has no tls.key\n")


def test_validate_prints_a_line_a_fault(tmp_path):
    """Exit 2, on stderr."""
    path = tmp_path / "mx.yaml"
    path.write_bytes(GATEWAY.replace(b"port: 25", b"prt: 25"))

    assert run(path) == (
        2,
        "",
        f"{path}: spec.listeners[0].port: required\n{path}: spec.listeners[0].prt: unknown field\n",
    )


def test_validate_names_files_that_cannot_be_read(tmp_path):
    """All of them, exit 2."""
    missing = tmp_path / "missing.yaml"

    assert run(missing, tmp_path) == (2, "", f"{missing}: No such file or directory\n{tmp_path}: Is a directory\n")


def test_validate_reads_stdin(monkeypatch):
    """As `-`, for what a pipe brings."""
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(GATEWAY)))

    assert run(Path("-"))[:2] == (0, "-: InboundSmtp mx is valid\n")


def test_the_example_for_a_laptop_is_valid():
    """What `make run` serves: loopback only, its three ports, with the two Secrets that --dev makes."""
    path = ROOT / "examples/local.yaml"
    code, _, err = run(path)
    found = documents.load([(str(path), path.read_bytes())])

    assert (code, found.secrets) == (0, {})
    assert "passwords" not in err
    assert [(listener.port, listener.auth.required) for listener in found.gateway.spec.listeners] == [
        (2525, False),
        (2587, True),
        (2465, True),
    ]
    assert found.gateway.spec.network.bind_addresses == ("127.0.0.1", "::1")
