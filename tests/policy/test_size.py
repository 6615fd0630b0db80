"""How large may a message be?"""

from __future__ import annotations

import pytest

from mailport.policy.size import drop_limit, enforced
from tests.tables import table

MIB = 1024 * 1024


@pytest.mark.parametrize(
    "advertised, enforce, limit",
    table(
        {
            "what is advertised": (25 * MIB, True, 25 * MIB),
            "nothing where it is not enforced": (25 * MIB, False, 0),
            "nothing where nothing is advertised": (0, True, 0),
        }
    ),
)
def test_limit(advertised: int, enforce: bool, limit: int):
    """What a message is held to; 0 is no limit."""
    assert enforced(advertised, enforce) == limit


@pytest.mark.parametrize(
    "limit, dropped",
    table(
        {
            "four times the limit": (25 * MIB, 100 * MIB),
            "64 MiB at least": (MIB, 64 * MIB),
            "64 MiB where there is no limit": (0, 64 * MIB),
        }
    ),
)
def test_what_is_dropped_before_the_session_ends(limit: int, dropped: int):
    """So much is read of a message that has been refused already."""
    assert drop_limit(limit) == dropped
