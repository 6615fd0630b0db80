"""What is rendered, whole: golden files that a reviewer reads.

After a change that means to change them: `MAILPORT_WRITE_GOLDEN=1 pytest tests/operator/test_golden.py`, and look at
the difference.
"""

import os
from pathlib import Path

import pytest

from mailport import yaml_text
from mailport.operator.manifests import children
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


def test_each_golden_file_has_its_document():
    """None is left over from a document that is gone."""
    assert {path.stem for path in (HERE / "golden").glob("*.yaml")} == set(DOCUMENTS)
