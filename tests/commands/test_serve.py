"""What `mailport serve` makes of its options."""

from __future__ import annotations

import argparse

import pytest

from mailport.commands import serve
from tests.tables import table


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    serve.add(parser.add_subparsers())
    return parser.parse_args(["serve", "-f", "mx.yaml", *arguments])


@pytest.mark.parametrize(
    ("arguments", "variable", "mounted"),
    table(
        {
            "on a laptop": ([], None, None),
            "a pod": (["--mounted", "mx-tls,users"], None, {"mx-tls", "users"}),
            "a pod without any Secret is a pod": (["--mounted="], None, set()),
            "by its variable": ([], "mx-tls, users", {"mx-tls", "users"}),
            "by its variable, without any": ([], "", set()),
            "the option comes first": (["--mounted=a"], "b", {"a"}),
        }
    ),
)
def test_what_a_pod_mounts(monkeypatch, arguments, variable, mounted):
    """Nothing said is no pod, and an empty list is one."""
    if variable is None:
        monkeypatch.delenv("MAILPORT_MOUNTED", raising=False)
    else:
        monkeypatch.setenv("MAILPORT_MOUNTED", variable)

    assert parse(*arguments).mounted == mounted
