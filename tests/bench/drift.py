"""Drift computed, as the operator does it, beside drift remembered: what each asks of whom, on a real API server.

    python -m tests.bench.drift [--gateways N]

Remembered would be a digest of what the API server made of each child: where it is another one, and where nothing is
remembered (after a start), the child is applied again; of a suspended gateway a dry run says what would differ.
Prints a table. docs/decisions/2026-11-28-operator.md has what follows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.bench import crowd
from tests.bench.crowd import Used
from tests.kube.operating import IMAGE, OPERATOR

from mailport.contract.model import InboundSmtp
from mailport.operator.apply.additions import named
from mailport.operator.apply.drift import differences, dropped
from mailport.operator.apply.place import digest
from mailport.operator.children.inputs import Inputs
from mailport.operator.children.manifests import children
from mailport.operator.managed_fields import compact
from mailport.operator.metadata import Manifest

_ROUNDS = 5


class Cost(NamedTuple):
    """Of all children of one gateway."""

    what: str
    requests: int
    seconds: float
    cpu: float  # seconds, of the operator
    cpu_of_the_api_server: float


async def measure(cluster: crowd.ControlPlane, gateways: int) -> list[Cost]:
    """Make the children of some gateways, and look at them in each way."""
    os.environ["KUBECONFIG"] = str(cluster.kubeconfig_of(OPERATOR))
    from mailport.operator.cluster import Cluster  # noqa: PLC0415 - the client reads that when it is imported

    api = Cluster()
    await api.connect()
    try:
        rendered = [child for number in range(gateways) for child in _children(number)]
        there = [compact(await api.apply(child, force=False)) for child in rendered]

        async def compute() -> None:
            for manifest, child in zip(rendered, there, strict=True):
                different = [*differences(manifest, child), *dropped(manifest, child), *named(manifest, child)]
                assert not different, different

        async def recall() -> None:
            for manifest, child in zip(rendered, there, strict=True):
                digest(manifest)
                digest(_what_is_applied(child))

        async def apply() -> None:
            for manifest in rendered:
                await api.apply(manifest)

        async def try_out() -> None:
            for manifest in rendered:
                await api.apply(manifest, dry_run=True)

        each = len(rendered) // gateways
        return [
            await _cost("computed: all fields compared", 0, compute, cluster, gateways),
            await _cost("remembered, and as it was: two digests", 0, recall, cluster, gateways),
            await _cost("not remembered: applied again", each, apply, cluster, gateways),
            await _cost("suspended: tried without effect", each, try_out, cluster, gateways),
        ]
    finally:
        await api.close()


def _children(number: int) -> Iterator[Manifest]:
    document = crowd.document(number)
    document["metadata"]["generation"] = 1
    gateway = InboundSmtp.parse_json(json.dumps(document))
    yield from children(gateway, Inputs(IMAGE, operator="bench"))


def _what_is_applied(child: Manifest) -> Manifest:
    metadata = {name: value for name, value in child["metadata"].items() if name not in _CHANGING}
    return {**child, "metadata": metadata, "status": None}


_CHANGING = ("resourceVersion", "managedFields")


async def _cost(
    what: str, requests: int, work: Callable[[], Awaitable[None]], cluster: crowd.ControlPlane, gateways: int
) -> Cost:
    """Do it some times over, and return what it took for each gateway."""
    await work()
    server = cluster._processes["kube-apiserver"].pid
    began, cpu, of_server = time.monotonic(), time.process_time(), Used.by(server).cpu
    for _ in range(_ROUNDS):
        await work()
    times = _ROUNDS * gateways
    took, used = time.monotonic() - began, time.process_time() - cpu
    return Cost(what, requests, took / times, used / times, (Used.by(server).cpu - of_server) / times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateways", type=int, default=50, help="default: %(default)s")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="mailport-bench-") as folder,
        crowd.control_plane(Path(folder) / "drift") as cluster,
    ):
        crowd.create_namespaces(cluster)
        costs = asyncio.run(measure(cluster, options.gateways))
    sys.stdout.write(
        "| all children of a gateway | requests | time | CPU | CPU of the API server |\n|---|--:|--:|--:|--:|\n"
    )
    for cost in costs:
        sys.stdout.write(
            f"| {cost.what} | {cost.requests} | {cost.seconds * 1000:.1f} ms | {cost.cpu * 1000:.2f} ms "
            f"| {cost.cpu_of_the_api_server * 1000:.1f} ms |\n"
        )


if __name__ == "__main__":
    main()
