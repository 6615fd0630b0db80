"""`make image`: what docker, podman and buildah are told, in whose place a script writes it down."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.tables import table

ROOT = Path(__file__).parent.parent
ENGINES = {"docker": ["build"], "podman": ["build"], "buildah": ["bud", "--layers"]}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "variables, told",
    table(
        {
            "nothing, where nothing is said": ((), []),
            "the nodes' platform, where it is not this machine's": (
                ("PLATFORM=linux/amd64",),
                ["--platform", "linux/amd64"],
            ),
            "another base image": (
                ("BASE_IMAGE=registry.example.org/python:3",),
                ["--build-arg", "BASE_IMAGE=registry.example.org/python:3"],
            ),
            "both": (
                ("PLATFORM=linux/arm64", "BASE_IMAGE=python:3"),
                ["--platform", "linux/arm64", "--build-arg", "BASE_IMAGE=python:3"],
            ),
        }
    ),
)
def test_what_is_said_to_make_is_said_to_the_engine(tmp_path, engine, variables, told):
    """Alike to each of them."""
    calls = tmp_path / "calls"
    program = tmp_path / engine
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" end >>{calls}\n")
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ENGINE": engine}
    command = ["make", "--no-print-directory", "-C", ROOT, "image", "IMAGE=mailport:test", *variables]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
    build = calls.read_text().split("\nend\n")[0].splitlines()
    begin = [*ENGINES[engine], *told, "--build-arg"]

    assert build[: len(begin)] == begin
    assert build[len(begin)].startswith("VERSION=")
    assert build[-5:] == ["--tag", "mailport:test", "--file", "Dockerfile", "."]
