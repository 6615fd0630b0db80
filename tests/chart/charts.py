"""The chart, rendered by helm itself."""

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.kube.cluster import ROOT, program

CHART = ROOT / "helm/mailport"
RELEASE, NAMESPACE = "mailport", "mailport-system"

ON_THE_NODES = f"--values={Path(__file__).parent / 'on-the-nodes.yaml'}"  # else the chart asks for a registry
VALUES = sorted((Path(__file__).parent / "values").glob("*.yaml"))

Manifest = dict[str, Any]


class RefusedError(Exception):
    """What helm says is wrong."""


class Helm:
    """helm, with no settings of the user's."""

    def __init__(self, folder: Path) -> None:
        self._program = program("helm")
        places = {f"HELM_{kind}_HOME": str(folder / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        self._environment = {**os.environ, **places}

    def run(self, *arguments: str | Path) -> str:
        """Run helm, and return what it prints. Raises RefusedError."""
        done = subprocess.run(
            [self._program, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            env=self._environment,
            check=False,
        )
        if done.returncode:
            raise RefusedError(done.stderr)
        return done.stdout

    def text(self, *options: str | Path, release: str = RELEASE, namespace: str = NAMESPACE) -> str:
        """Return what the chart renders, hooks and all unless options say otherwise."""
        return self.run("template", release, CHART, f"--namespace={namespace}", ON_THE_NODES, *options)

    def render(self, *options: str | Path, release: str = RELEASE, namespace: str = NAMESPACE) -> list[Manifest]:
        """Return the objects that the chart renders."""
        return documents(self.text(*options, release=release, namespace=namespace))


def documents(text: str) -> list[Manifest]:
    """Read YAML as Kubernetes does, strictly: a key that comes twice is an error."""
    return [document for document in yaml.load_all(text, Loader=_Strict) if document is not None]


class _Strict(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(set(keys)) == len(keys), f"a key comes twice, {node.start_mark}"
        return super().construct_mapping(node, deep=deep)


def place(manifest: Manifest) -> tuple[str, str, str]:
    """Name an object: its kind, its namespace or nothing, its name."""
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def find(manifests: list[Manifest], kind: str, name: str = "") -> Manifest:
    """Return the one object of a kind, and of a name where that is given."""
    (found,) = (each for each in manifests if each["kind"] == kind and name in ("", each["metadata"]["name"]))
    return found
