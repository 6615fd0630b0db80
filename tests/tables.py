"""Tables of cases, each keyed by a sentence that says what it shows."""

from __future__ import annotations

from typing import Any

import pytest


def table(cases: dict[str, Any]) -> list[Any]:
    """Return pytest's parameters: a tuple is several values, anything else is one."""
    tuples = {sentence: case if isinstance(case, tuple) else (case,) for sentence, case in cases.items()}
    return [pytest.param(*case, id=sentence) for sentence, case in tuples.items()]
