"""`mailport render`, as it is run."""

import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from mailport.__main__ import main
from mailport.contract import yaml_text
from tests.operator.making import ROOT
from tests.tables import table

MINIMAL = str(ROOT / "tests/corpus/good/minimal.yaml")
CONTRACT = str(ROOT / "tests/corpus/good/contract.yaml")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("MAILPORT_FILE", "MAILPORT_LISTENER_IMAGE", "MAILPORT_NAMESPACE", "MAILPORT_DEFAULTS"):
        monkeypatch.delenv(name, raising=False)


def rendered(capsys):
    out, err = capsys.readouterr()
    assert not err
    return {document["kind"]: document for document in yaml_text.read(out.encode())}


def image(documents):
    return documents["Deployment"]["spec"]["template"]["spec"]["containers"][0]["image"]


def test_it_prints_the_children(capsys):
    """As YAML documents, with an image of this version."""
    assert main(["render", "-f", MINIMAL]) == 0

    documents = rendered(capsys)
    assert list(documents) == ["ServiceAccount", "ConfigMap", "Service", "Deployment"]
    assert image(documents).startswith("mailport:")
    assert "namespace" not in documents["Deployment"]["metadata"]


def test_the_image_and_the_namespace_are_options(capsys):
    """The namespace of each child, and of the configuration's own metadata."""
    assert main(["render", "-f", MINIMAL, "--listener-image", "registry.example.org/mp:1", "--namespace", "mail"]) == 0

    documents = rendered(capsys)
    assert image(documents) == "registry.example.org/mp:1"
    assert {document["metadata"]["namespace"] for document in documents.values()} == {"mail"}
    assert '"namespace": "mail"' in documents["ConfigMap"]["data"]["inboundsmtp.json"]


def test_the_environment_sets_them_too(capsys, monkeypatch):
    """As for every command."""
    monkeypatch.setenv("MAILPORT_FILE", MINIMAL)
    monkeypatch.setenv("MAILPORT_LISTENER_IMAGE", "registry.example.org/mp:2")
    monkeypatch.setenv("MAILPORT_NAMESPACE", "post")
    assert main(["render"]) == 0

    documents = rendered(capsys)
    assert image(documents) == "registry.example.org/mp:2"
    assert documents["Service"]["metadata"]["namespace"] == "post"


def test_what_the_administrator_gives_every_gateway_is_shown(capsys, tmp_path):
    """From the file that the operator mounts."""
    file = tmp_path / "defaults.yaml"
    file.write_text("pod: {nodeSelector: {pool: mail}}\nlabels: {team: mail}\n")
    assert main(["render", "-f", MINIMAL, "--defaults", str(file), "--security-context", "Platform"]) == 0

    documents = rendered(capsys)
    pod = documents["Deployment"]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"pool": "mail"}
    assert "runAsUser" not in pod["securityContext"]
    assert documents["Service"]["metadata"]["labels"]["team"] == "mail"


def test_where_connections_may_go_is_shown(capsys):
    """As the operator tells its pods, by the same option and by what it allows."""
    options = ["--deny-destinations", "10.0.0.0/8, 2001:db8::/32", "--allow-local-destinations"]
    assert main(["render", "-f", MINIMAL, *options]) == 0

    container = rendered(capsys)["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    assert container["args"][-2:] == ["--allow-local-destinations", "--deny-destinations=10.0.0.0/8,2001:db8::/32"]


@pytest.mark.parametrize(
    "option, said",
    table(
        {
            "a file of defaults that is not there": ("--defaults=/no/such/file", "No such file or directory"),
            "one that is wrong": (f"--defaults={MINIMAL}", "minimal.yaml: apiVersion: unknown field"),
            "a network that is none": (
                "--deny-destinations=10.0.0.1/8",
                "'10.0.0.1/8' has bits set behind its prefix: write 10.0.0.0/8 for the network",
            ),
            "a context that there is none of": ("--security-context=fixed", "'fixed' is neither Fixed nor Platform"),
        }
    ),
)
def test_an_option_that_is_wrong_exits_2(capsys, option, said):
    """As all do, and with the reason."""
    with pytest.raises(SystemExit) as ended:
        main(["render", "-f", MINIMAL, option])

    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, said",
    table(
        {
            "a document with a fault": (
                ["-f", str(ROOT / "tests/corpus/bad/no-hostname.yaml")],
                "no-hostname.yaml: spec.hostname: required",
            ),
            "one that the operator would not accept": (
                ["-f", str(ROOT / "tests/corpus/good/loopback.yaml")],
                "loopback.yaml: spec.network.bindAddresses: a pod has none of a node's addresses",
            ),
            "another namespace than the document's": (
                ["-f", CONTRACT, "--namespace", "other"],
                "metadata.namespace: is mail, and --namespace other",
            ),
            "a namespace that is none": (["-f", MINIMAL, "--namespace", "No"], "namespace: must be a DNS label"),
            "a file that is not there": (["-f", "no-such-file.yaml"], "no-such-file.yaml: No such file or directory"),
        }
    ),
)
def test_what_cannot_be_rendered_exits_2(capsys, arguments, said):
    """With the reason on stderr, and nothing on stdout that could be applied."""
    assert main(["render", *arguments]) == 2

    out, err = capsys.readouterr()
    assert said in err
    assert out == ""


def test_it_reads_stdin_and_starts_without_the_listener():
    """`render -f -` in a pipe; it loads no server."""
    program = (
        "import sys\nfrom mailport.__main__ import main\nstatus = main(['render', '-f', '-'])\n"
        "sys.exit(status or 10 * bool({'aiohttp', 'aiosmtpd'} & sys.modules.keys()))"
    )
    with Path(MINIMAL).open("rb") as document:
        run = subprocess.run([sys.executable, "-c", program], stdin=document, capture_output=True, check=True)

    assert run.stdout.startswith(b"---\napiVersion: v1\nkind: ServiceAccount\n")


def test_help_has_an_example(capsys):
    """One to copy."""
    with pytest.raises(SystemExit):
        main(["render", "--help"])

    assert "mailport render -f mx.yaml --namespace mail | kubectl apply --server-side -f -" in capsys.readouterr().out


# --- YAML

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), 1 << 63) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@hypothesis.given(VALUES.filter(lambda value: value is not None))
def test_what_is_dumped_reads_back_as_the_same(value):
    """Texts of every kind, empty ones, keys that look like numbers."""
    assert yaml_text.read(yaml_text.dump([{"value": value}]).encode()) == [{"value": value}]


@pytest.mark.parametrize(
    "text",
    table(
        {
            "a number with an exponent, as commits have it": "1e3",
            "an octal number of YAML 1.2": "0o17",
            "a mode": "0660",
            "a base-60 number of YAML 1.1": "22:22",
            "a boolean of YAML 1.1": "on",
            "a boolean of the first YAML readers": "y",
            "no boolean at all in a label": "NO",
            "null": "null",
            "a date": "2026-11-23",
            "a version": "1.10",
            "not a number": ".nan",
            "a sign and a point": "-.5",
        }
    ),
)
def test_a_text_that_could_be_something_else_is_quoted(text):
    """Whatever reads it: Go's YAML takes some for numbers that Python's does not."""
    assert yaml_text.dump([{"value": text}]) in (f'---\nvalue: "{text}"\n', f"---\nvalue: '{text}'\n")


def test_lines_are_a_block_that_a_person_can_read():
    """The configuration in its ConfigMap."""
    assert yaml_text.dump([{"data": "{\n  1\n}\n"}]) == "---\ndata: |\n  {\n    1\n  }\n"


def test_documents_that_share_a_part_have_no_anchors():
    """Which `read` does not take, and people do not like."""
    shared = {"a": [1]}

    assert "&" not in yaml_text.dump([{"one": shared, "two": shared}])
