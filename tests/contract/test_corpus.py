"""The corpus: good documents that load, bad ones that fail for the reason they state. The CRD is held to the same."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from mailport.contract import documents, yaml_text
from mailport.contract.faults import Invalid
from mailport.contract.model import InboundSmtp

ROOT = Path(__file__).parents[2]
GOOD = sorted((ROOT / "tests/corpus/good").glob("*.yaml"))
BAD = sorted((ROOT / "tests/corpus/bad").glob("*.yaml"))


def stem(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", GOOD, ids=stem)
def test_a_good_document_loads_and_survives_a_round_trip(path):
    """What is loaded, written as JSON with every default and loaded again is equal: so the operator hands it on."""
    gateway = documents.load([(path.name, path.read_bytes())]).gateway

    assert InboundSmtp.parse_json(json.dumps(gateway.dump())) == gateway


@pytest.mark.parametrize("path", BAD, ids=stem)
def test_a_bad_document_fails_for_the_one_reason_that_it_states(path):
    """Its first two lines are the path and the message; there is nothing else wrong with it."""
    first, second, *_ = path.read_text().splitlines()

    with pytest.raises(Invalid) as caught:
        documents.load([(path.name, path.read_bytes())])

    faults = [(f"# path: {fault.path}", f"# message: {fault.message}") for fault in caught.value.faults]
    assert faults == [(first, second)]


def test_the_corpus_is_as_large_as_was_asked_for():
    """At least 15 good and 50 bad."""
    assert len(GOOD) >= 15
    assert len(BAD) >= 50


def test_the_good_documents_together_have_every_field():
    """No field of the model is left out, so each is seen to be read, and later by the CRD."""
    seen = {path for good in GOOD for path in _paths(yaml_text.read(good.read_bytes())[0]["spec"], "spec")}
    fields = {row.path.removesuffix("[]") for row in runpy.run_path(str(ROOT / "tools/fields.py"))["walk"]()}

    assert fields - seen == set()


def _paths(value: Any, path: str) -> set[str]:
    if isinstance(value, dict):
        below = {f"{path}.{key}" for key in value}
        return below.union(*(_paths(inner, f"{path}.{key}") for key, inner in value.items()))
    if isinstance(value, list):
        return set().union(*(_paths(item, f"{path}[]") for item in value))
    return set()
