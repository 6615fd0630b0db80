"""The pages that administrators rely on say what the code does."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from mailport import policy
from mailport.contract import documents, unwise
from mailport.policy.replies import Reply

DOCS = Path(__file__).parent.parent / "docs"
EXAMPLES = DOCS.parent / "examples"
MODULES = [
    importlib.import_module(f"mailport.policy.{module.name}") for module in pkgutil.iter_modules(policy.__path__)
]
REPLIES = {
    name: reply
    for module in MODULES
    for name, reply in vars(module).items()
    if isinstance(reply, Reply) and reply.reason
}


@pytest.fixture(scope="module")
def page():
    return (DOCS / "replies.md").read_text()


@pytest.mark.parametrize("name", REPLIES)
def test_each_refusal_has_its_row(page, name):
    """Code, enhanced code and reason of each refusal stand in one row of docs/replies.md."""
    reply = REPLIES[name]
    rows = [row for row in page.splitlines() if row.startswith("|") and f"`{reply.reason}`" in row]

    assert rows, f"no row has the reason {reply.reason}"
    if not reply.silent:
        assert any(f"`{reply.code} {reply.enhanced}" in row for row in rows), (
            f"no row has {reply.code} {reply.enhanced}"
        )


def test_each_reason_is_explained(page):
    """Each reason of the tables has a word on what it means for an administrator, and there are no others."""
    tables, explanations = page.split("## What to do about a reason")
    given = set(
        re.findall(
            r"`([a-z_0-9]+)`", " ".join(row.split("|")[-2] for row in tables.splitlines() if row.startswith("|"))
        )
    )
    explained = {
        reason
        for row in explanations.splitlines()
        if row.startswith("|")
        for reason in re.findall(r"`([a-z_0-9]+)`", row.split("|")[1])
    }

    assert given == explained


# --- examples


def examples():
    """Every whole InboundSmtp that a page shows, and those in examples/."""
    for page in (DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))):
        for number, block in enumerate(re.findall(r"^```yaml\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)):
            if "kind: InboundSmtp" in block and "routes:" in block:
                yield pytest.param(block, id=f"{page.name}-{number}")
    for example in ("cluster.yaml", *(f"{script.parent.name}/gateway.yaml" for script in EXAMPLES.glob("*/run"))):
        yield pytest.param((EXAMPLES / example).read_text(), id=example)


@pytest.mark.parametrize("example", list(examples()))
def test_what_we_show_is_what_we_advise(example):
    """Valid, and without a warning."""
    spec = documents.load([("-", example.encode())]).gateway.spec

    assert [str(warning) for warning in unwise.warnings(spec)] == []
