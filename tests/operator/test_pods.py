"""What a pod says of itself, read: its image may be anybody's."""

import json

import pytest

from mailport.operator.observed import Report
from mailport.operator.pods import read
from tests.tables import table

SAID = {
    "hash": "9f2c",
    "generation": 3,
    "restartRequired": False,
    "draining": False,
    "listeners": [],
    "certificates": [{"secretName": "mx-tls", "serialNumber": "01", "notAfter": "2027-01-01T00:00:00Z"}],
    "missing": [{"kind": "Secret", "name": "mx-users", "key": "htpasswd", "field": "spec.auth.htpasswd.secretRef"}],
    "reloadError": None,
}


def test_a_listener_is_understood():
    assert read(json.dumps(SAID).encode()) == Report(
        "9f2c", 3, certificates=tuple(SAID["certificates"]), missing=tuple(SAID["missing"])
    )


@pytest.mark.parametrize(
    "said",
    table(
        {
            "nothing": b"",
            "no JSON": b"<html>",
            "no object": b"[1]",
            "no hash": json.dumps({**SAID, "hash": None}).encode(),
            "a generation that no integer holds": json.dumps(SAID).replace(": 3", ": 1e999").encode(),
            "a generation that is no number": json.dumps(SAID).replace(": 3", ': {"a": 1}').encode(),
            "brackets without end": b"[" * 100_000,
            "a list of what are no objects": json.dumps({**SAID, "missing": [7]}).encode(),
            "an error that is no text": json.dumps({**SAID, "reloadError": {"a": 1}}).encode(),
            "no text of any encoding": b"\xff\xfe\x00",
        }
    ),
)
def test_what_is_none_of_ours_is_no_answer(said):
    assert read(said) is None
