"""What the chart renders, whole: golden files that a reviewer reads.

After a change that means to change them: `MAILPORT_WRITE_GOLDEN=1 pytest tests/chart/test_golden.py`, and look at the
difference. Of files that have tests of their own, and are copied into an object whole, only the object is shown.
"""

import json
import os
from pathlib import Path

import pytest
import yaml

from tests.chart.charts import CHART, VALUES

HERE = Path(__file__).parent
WHOLE = ("dashboard.json", "send_a_message.py")


def shortened(text):
    """Take out what is shown elsewhere."""
    for name in WHOLE:
        content = (CHART / "files" / name).read_text().rstrip("\n")
        indented = "\n".join(f"    {line}" if line else "    " for line in content.splitlines())
        text = text.replace(indented, f"    (files/{name})")
    return text


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_what_is_rendered_is_the_golden_file(helm, values):
    """To the byte, but for the CustomResourceDefinition."""
    golden = HERE / "golden" / values.name
    rendered = shortened(helm.text(f"--values={values}", "--set=crds.install=false"))
    if os.environ.get("MAILPORT_WRITE_GOLDEN"):
        golden.write_text(rendered)

    assert rendered == golden.read_text()


def test_each_golden_file_has_its_values():
    """None is left over from values that are gone."""
    assert [path.name for path in sorted((HERE / "golden").glob("*.yaml"))] == [path.name for path in VALUES]


def test_golden_files_show_every_template(helm):
    """None is out of sight."""
    shown = "".join(path.read_text() for path in (HERE / "golden").glob("*.yaml"))
    templates = {path.relative_to(CHART.parent).as_posix() for path in (CHART / "templates").rglob("*.yaml")}

    assert {name for name in templates if f"# Source: {name}\n" not in shown} == {"mailport/templates/crd.yaml"}


def test_every_value_is_set_to_something_else_in_some_file():
    """So that no value is without effect, unseen."""
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    changed = {path for values in VALUES for path in differing(defaults, yaml.safe_load(values.read_text()) or {})}

    assert set(leaves(defaults)) - changed == set()


def leaves(values, path=""):
    for key, value in values.items():
        if isinstance(value, dict) and value and key not in {"resources", "labels"}:
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}"


def differing(defaults, values, path=""):
    for key, value in values.items():
        if isinstance(value, dict) and defaults[key] and key not in {"resources", "labels"}:
            yield from differing(defaults[key], value, f"{path}{key}.")
        elif json.dumps(value) != json.dumps(defaults[key]):
            yield f"{path}{key}"
