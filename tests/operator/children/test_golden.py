"""What is rendered, whole: golden files that a reviewer reads.

After a change that means to change them: `MAILPORT_WRITE_GOLDEN=1 pytest tests/operator/children/test_golden.py`,
and look at the difference.
"""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from mailport.contract import yaml_text
from mailport.operator.children.manifests import children
from tests.operator.making import GIVEN, ROOT, read

HERE = Path(__file__).parent
CORPUS = ROOT / "tests/corpus/good"
DOCUMENTS = {
    path.stem: path
    for path in (
        CORPUS / "minimal.yaml",
        CORPUS / "contract.yaml",
        CORPUS / "host-network.yaml",
        CORPUS / "autoscaled.yaml",
        CORPUS / "node-port.yaml",
        *sorted((HERE / "documents").glob("*.yaml")),
    )
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_is_rendered_is_the_golden_file(name):
    """To the byte: a difference nobody meant would roll the pods of everyone who upgrades."""
    golden = HERE / "golden" / f"{name}.yaml"
    rendered = yaml_text.dump(children(read(DOCUMENTS[name]), GIVEN))
    if os.environ.get("MAILPORT_WRITE_GOLDEN"):
        golden.write_text(rendered)

    assert rendered == golden.read_text()


# Rendered at commit eb7aa31, before there was FORMAT 2, and never written again: where the operator alone is upgraded,
# no pod is another.
FORMAT_1 = {path.stem: path for path in (HERE / "golden/format-1").glob("*.yaml")}


@pytest.mark.parametrize("name", FORMAT_1)
def test_children_of_format_1_are_to_the_byte_as_ever(name):
    """Whether the image of the operator's option or of the document reads it."""
    made = read(DOCUMENTS[name])
    rendered = yaml_text.dump(children(made, replace(GIVEN, listener_format=1)))
    pod = made.spec.pod.model_copy(update={"config_format": 1})
    pinned = made.model_copy(update={"spec": made.spec.model_copy(update={"pod": pod})})

    assert rendered == FORMAT_1[name].read_text()
    assert yaml_text.dump(children(pinned, GIVEN)) == rendered


def test_each_golden_file_has_its_document():
    """None is left over from a document that is gone."""
    assert {path.stem for path in (HERE / "golden").glob("*.yaml")} == set(DOCUMENTS)
    assert FORMAT_1.keys() <= DOCUMENTS.keys()
