"""docs/administrators.md: each example of values, held against the gateway that it is for."""

import re
from typing import NamedTuple

import pytest
import yaml

from mailport.__main__ import _parser
from mailport.contract import documents
from mailport.contract.model import Spec
from mailport.operator.admit import permitted
from tests.chart.charts import find
from tests.kube.cluster import ROOT

PAGE = (ROOT / "docs/administrators.md").read_text()


class Example(NamedTuple):
    """What an administrator sets, and what an author may then write."""

    values: str
    document: str

    @property
    def allow(self) -> list[str]:
        return list(yaml.safe_load(self.values)["allow"])

    @property
    def spec(self) -> Spec:
        return documents.load([("document", self.document.encode())]).gateway.spec


def examples() -> dict[str, Example]:
    """By the heading that they stand below."""
    found = {}
    for section in PAGE.split("\n### ")[1:]:
        values, document = re.findall(r"```yaml\n(.+?)```", section.partition("\n## ")[0], re.DOTALL)
        found[section.partition("\n")[0]] = Example(values, document)
    return found


EXAMPLES = examples()
each = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)


@each
def test_the_chart_takes_the_values_and_the_operator_allows_the_gateway(helm, tmp_path, example):
    (tmp_path / "values.yaml").write_text(example.values)
    manifests = helm.render(f"--values={tmp_path / 'values.yaml'}")
    (container,) = find(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    allowed = _parser().parse_args(container["args"]).allow

    assert [str(fault) for fault in permitted.not_permitted(example.spec, allowed)] == []


OF_THE_CLOUD = {"serviceAnnotations=cloud.google.com/neg"}  # what a cloud's own webhook writes on each Service


@each
def test_nothing_is_allowed_that_the_gateway_does_not_ask_for(example):
    """Who copies an example opens no more than that."""
    asked = example.spec
    for item in set(example.allow) - OF_THE_CLOUD:
        rest = ",".join(other for other in example.allow if other != item)
        kind, is_pattern, _ = item.partition("=")
        without = permitted.parse(f"{rest},{kind}=".strip(",") if is_pattern and f"{kind}=" not in rest else rest)

        assert list(permitted.not_permitted(asked, without)), item


def test_the_message_that_is_shown_is_the_operators():
    """With the annotation that it shows."""
    (shown,) = re.findall(r"^spec\.pod\..+$", PAGE, re.MULTILINE)
    document = yaml.safe_load(next(iter(EXAMPLES.values())).document)
    document["spec"]["pod"] = {"annotations": {"iam.amazonaws.com/role": "mail"}}
    spec = documents.load([("document", yaml.safe_dump(document).encode())]).gateway.spec
    faults = [str(fault) for fault in permitted.not_permitted(spec, permitted.DEFAULT)]

    assert faults == [shown]


def test_what_is_told_to_be_harmful_is_there():
    """Each name in the table of what not to allow lightly is one that the operator knows."""
    table = PAGE.partition("## What not to allow lightly")[2]
    cells = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)

    assert len(cells) == 5
    for name in re.findall(r"`([^`]+)`", " ".join(cells)):
        permitted.parse(name)
