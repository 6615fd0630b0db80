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
from tests.tables import table

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


@pytest.mark.parametrize(
    ("instance", "read"),
    table(
        {
            "as it is usual": ("i=1;", True),
            "two digits": ("i=01;", True),
            "a comment in front of it": ("(a hop) i=1;", True),
            "comments all round": ("i (a) = (b)\r\n 1 (c (d;);", False),
            "a comment behind it": ("i=1 (a; hop);", True),
            "a fold": ("\r\n i = 1 ;", True),
            "three digits": ("i=001;", False),
            "none": ("i=0;", False),
            "a capital": ("I=1;", False),
            "no number": ("mx.example.org;", False),
        }
    ),
)
def test_instance_of_the_results(instance, read):
    """RFC 8617 §4.2.1: it may have comments and folds, and comes first."""
    found = arc.read(Fields(_one_set(instance, cv="none")))

    assert isinstance(found, Chain) is read
    assert read or found.why == "ARC-Authentication-Results without a number"


def test_who_sealed_a_broken_chain():
    """Its last seal is read, though it says itself that the chain is broken."""
    found = arc.read(Fields(_one_set("i=1;", cv="fail")))

    assert (found.result, found.domain, found.why) == ("fail", "example.org", "set 1 says cv=fail")


def _one_set(instance: str, cv: str) -> bytes:
    signature = "i=1; a=rsa-sha256; d=example.org; s=s; h=from; bh=AAAA; b=AAAA"
    return (
        f"ARC-Seal: i=1; a=rsa-sha256; cv={cv}; d=example.org; s=s; b=AAAA\r\n"
        f"ARC-Message-Signature: {signature}\r\n"
        f"ARC-Authentication-Results:{instance} mx.example.org; spf=pass\r\n"
    ).encode()


def test_suite_is_whole():
    """All of its cases are run."""
    suite(PATH)

    assert len(cases()) == 171
