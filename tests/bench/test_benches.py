"""That the benches begin at all: nobody runs each of them after each change of what they have in common."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


@pytest.mark.parametrize("name", sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("test_")))
def test_it_can_be_loaded(name: str) -> None:
    assert importlib.import_module(name).__doc__
