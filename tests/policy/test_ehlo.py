"""What does EHLO offer?"""

from __future__ import annotations

from typing import Any

import pytest

from mailport.policy.ehlo import ehlo
from tests.tables import table

USUAL: dict[str, Any] = {"size": 26214400, "max_recipients": 100, "starttls": False, "auth_offered": False}
ALWAYS = ["PIPELINING", "SIZE 26214400", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING"]


def keywords(**settings: Any) -> list[str]:
    """Return what stands behind the codes, the host's name aside."""
    lines = ehlo("mx.example.org", **(USUAL | settings)).decode("ascii").split("\r\n")
    assert lines.pop() == ""
    assert [line[:4] for line in lines] == ["250-"] * (len(lines) - 1) + ["250 "]
    assert lines[0] == "250-mx.example.org"
    return [line[4:] for line in lines[1:]]


@pytest.mark.parametrize(
    "settings, offered",
    table(
        {
            "always, and the limit of recipients": ({}, [*ALWAYS, "LIMITS RCPTMAX=100"]),
            "no limit of recipients": ({"max_recipients": 0}, ALWAYS),
            "no limit of size (RFC 1870 §4)": (
                {"size": 0},
                ["SIZE 0" if line.startswith("SIZE") else line for line in ALWAYS] + ["LIMITS RCPTMAX=100"],
            ),
            "STARTTLS": (
                {"starttls": True, "max_recipients": 0},
                [*ALWAYS[:2], "STARTTLS", *ALWAYS[2:]],
            ),
            "AUTH, its mechanisms in one line (RFC 4954 §3)": (
                {"auth_offered": True, "max_recipients": 0},
                [*ALWAYS[:2], "AUTH PLAIN LOGIN", *ALWAYS[2:]],
            ),
        }
    ),
)
def test_ehlo(settings: dict[str, Any], offered: list[str]):
    """One line an extension, the last marked as such (RFC 5321 §4.1.1.1)."""
    assert keywords(**settings) == offered
