"""ARC: the validation half of the suite that was published with it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from mailport.authentication import arc
from mailport.authentication.arc import Chain
from mailport.authentication.body_hash import BodyHashes
from mailport.authentication.fields import Fields
from tests.authentication.signing import NOW, split
from tests.authentication.zones import Zone, answering, published, run, suite

PATH = "arc/arc-draft-validation-tests.yml"


def cases() -> list[Any]:
    file = published(PATH)
    if file is None:
        return [pytest.param(None, None, id="the suite is not there")]
    return [
        pytest.param(case, scenario["txt-records"] or {}, id=f"{scenario['description']}: {name}")
        for scenario in yaml.load_all(file.read_text(), Loader=yaml.CSafeLoader)
        for name, case in scenario["tests"].items()
    ]


def verified(message: bytes, zone: Zone) -> arc.ArcResult:
    section, body = split(message)
    fields = Fields(section)
    chain = arc.read(fields)
    if not isinstance(chain, Chain):
        return chain
    hashes = BodyHashes([chain.last.relaxed_body])
    hashes.update(body)
    found = run(arc.ask(chain), answering(zone))
    return arc.judge(chain, found, fields, hashes.digest(relaxed=chain.last.relaxed_body), NOW)


@pytest.mark.parametrize(("case", "records"), cases())
def test_suite(case, records):
    """The chain's validation status is the suite's. Where it gives none, a seal says cv=fail: so does the chain."""
    suite(PATH)
    zone: Zone = {host: [("TXT", record)] for host, record in records.items()}

    found = verified(case["message"].replace("\n", "\r\n").encode(), zone)

    assert found.result == (case["cv"] or "fail").lower(), found.why


def test_suite_is_whole():
    """All of its cases are run."""
    suite(PATH)

    assert len(cases()) == 171
