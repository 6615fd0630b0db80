"""The suite that was published with RFC 7208: 203 cases, each with a zone and a result."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from mailport.address.ip_ranges import canonical
from mailport.authentication import spf
from tests.authentication.zones import Zone, answering, published, run, suite

PATH = "spf/rfc7208-tests.yml"


class _Text(yaml.SafeLoader):
    """Everything a text: an IPv6 address without quotes is no number of base 60."""


_Text.yaml_implicit_resolvers = {}


def cases() -> list[Any]:
    file = published(PATH)
    if file is None:
        return [pytest.param(None, None, id="the suite is not there")]
    return [
        pytest.param(case, scenario["zonedata"], id=f"{scenario['description']}: {name}")
        for scenario in yaml.load_all(file.read_text(), Loader=_Text)
        for name, case in scenario["tests"].items()
    ]


def zone_of(zonedata: dict[str, list[Any]]) -> Zone:
    """The suite's zone: a SPF record stands for a TXT record where the name has no TXT records of its own."""
    zone: Zone = {}
    for name, entries in zonedata.items():
        records: list[tuple[str, Any]] = []
        has_txt = any(isinstance(entry, dict) and "TXT" in entry for entry in entries)
        for entry in entries:
            if not isinstance(entry, dict):
                records.append((entry, None))
                continue
            ((kind, value),) = entry.items()
            if kind == "SPF" and not has_txt:
                records.append(("TXT", value))
            elif kind == "MX":
                records.append((kind, (int(value[0]), value[1])))
            elif kind != "SPF" and value != "NONE":
                records.append((kind, value))
        zone[name] = records
    return zone


@pytest.mark.parametrize(("case", "zonedata"), cases())
def test_suite(case, zonedata):
    """The result is the suite's, or one of those that it leaves open."""
    suite(PATH)
    local, _, domain = case["mailfrom"].rpartition("@")
    sender = (local, domain) if case["mailfrom"] else None
    found = run(spf.check(canonical(case["host"]), sender=sender, helo=case["helo"]), answering(zone_of(zonedata)))

    expected = case["result"]
    assert found.result in ([expected] if isinstance(expected, str) else expected), found.why


def test_suite_is_whole():
    """All of its 203 cases are run."""
    suite(PATH)

    assert len(cases()) == 203
