"""What docs/gitops.md gives to copy does what is said there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mailport.contract import documents
from tests.operator.making import ROOT

PAGE = (ROOT / "docs/gitops.md").read_text()
BLOCKS = re.findall(r"^( *)```yaml\n(.*?)^ *```$", PAGE, re.MULTILINE | re.DOTALL)
FILES = {
    path: text for _, text in BLOCKS for path in re.findall(r"^# (\S+/\S+\.yaml)$", text.split("\n", 1)[0])
}  # a block that begins with the name of a file is that file
JOB = ".github/workflows/gateways.yaml"
MX = "gateways/base/mx.yaml"


@pytest.fixture
def repository(tmp_path):
    """The files of the page, in a folder."""
    for path, text in FILES.items():
        file = tmp_path / "repository" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "repository"


@pytest.mark.parametrize("text", [text for _, text in BLOCKS])
def test_each_example_is_yaml(text):
    found = list(yaml.safe_load_all(text))

    assert found
    assert all(isinstance(document, dict) for document in found)


def test_the_gateway_is_good():
    assert documents.load([(MX, FILES[MX].encode())]).gateway.metadata.name == "mx"


def test_the_overlay_builds_what_mailport_takes(cluster, repository):
    """With its patches in it."""
    built = cluster.kubectl("kustomize", str(repository / "gateways/clusters/eu"))
    gateway = documents.load([("built", built.encode())]).gateway

    assert gateway.metadata.namespace == "mail"
    assert (gateway.spec.hostname, gateway.spec.service.type) == ("mx.eu.example.org", "LoadBalancer")
    assert [listener.name for listener in gateway.spec.listeners] == ["smtp", "submission"]


# --- the job


DOCKER = f"""\
#!/bin/sh
[ "$1 $2 $3" = "run --rm -i" ] || exit 99
shift 4
exec {sys.executable} -m mailport "$@"
"""


def git(folder: Path, *arguments: str) -> None:
    nobody = {f"GIT_{who}_{what}": "nobody" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    command = ["git", "-C", str(folder), "-c", "protocol.file.allow=always", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | nobody | settings)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def run_job(repository, tmp_path):
    """Run the job's script on a change, as GitHub does, with a docker that runs this Mailport."""
    shutil.copytree(repository, tmp_path / "origin")
    git(tmp_path / "origin", "init", "--quiet", "--initial-branch=main")
    git(tmp_path / "origin", "add", ".")
    git(tmp_path / "origin", "commit", "--quiet", "--message=before")
    shutil.rmtree(repository)
    git(tmp_path, "clone", "--quiet", f"file://{tmp_path / 'origin'}", str(repository))
    docker = tmp_path / "bin/docker"
    docker.parent.mkdir()
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    script = yaml.safe_load(FILES[JOB])["jobs"]["check"]["steps"][-1]["run"]

    def run() -> subprocess.CompletedProcess[str]:
        path = f"{docker.parent}:{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=repository,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
            env=os.environ | {"PATH": path, "GITHUB_BASE_REF": "main"},
        )

    return run


@pytest.mark.slow
def test_the_job_shows_what_a_change_does(repository, run_job):
    """In the objects that the operator would make; of a gateway that is new, all of them."""
    file = repository / MX
    file.write_text(file.read_text().replace("port: 587", "port: 1587"))
    (repository / "gateways/base/mx-two.yaml").write_text(FILES[MX].replace("name: mx\n", "name: two\n"))
    ran = run_job()
    shown = dict(part.split("\n", 1) for part in ran.stdout.split("== ")[1:])

    assert ran.returncode == 0, ran.stdout
    assert shown.keys() == {MX, "gateways/base/mx-two.yaml"}
    assert {"-    port: 587", "+    port: 1587"} <= set(shown[MX].splitlines())
    assert "+kind: Deployment" not in shown[MX]
    assert "+kind: Deployment" in shown["gateways/base/mx-two.yaml"]


@pytest.mark.slow
def test_the_job_fails_for_a_document_that_is_wrong(repository, run_job):
    """And says where."""
    file = repository / MX
    file.write_text(file.read_text().replace("port: 587", "port: 65536"))
    ran = run_job()

    assert ran.returncode == 2
    assert "spec.listeners[1].port: " in ran.stdout
