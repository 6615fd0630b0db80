"""The operator on a real API server with 500 gateways: how soon, how much memory, how much CPU.

    python -m tests.bench.run_operator [--quick] [--gateways N] [--only SCENE]

A control plane of its own, with the real controllers, the chart's RBAC, and no nodes: pods are played (crowd.py). Times
are the API server's own, out of its audit log. Prints a table; a whole run also writes it to docs/performance.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import re
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import quantiles
from typing import Any

from tests.bench import crowd
from tests.bench.crowd import Audit, ControlPlane, Kubelets, Used, until
from tests.bench.interpreter import python
from tests.kube.cluster import ADMIN
from tests.kube.gateways import Gateways
from tests.kube.operating import OPERATOR, Operator, stopped_at_the_end

from mailport.operator import kinds
from mailport.operator.apply import additions, drift

PAGE = Path(__file__).parents[2] / "docs/performance.md"
BEGIN, END = "<!-- bench-operator: begin -->", "<!-- bench-operator: end -->"

GATEWAYS = 500
_ELECTED = ("--leader-elect", "--lease-namespace=mailport-system")
_QUIET_BEFORE = 10.0  # seconds without a write: then all controllers have done what they had to
_LONGEST = 600.0  # seconds for anything: a bound to fail at
_LOST = 20.0  # seconds without a child that is created: then those that the audit log does not have are looked for
_BETWEEN = 0.2  # seconds between two changes of different gateways
_ROLLOUT = 2.0  # seconds between two changes of the same: until its pods are replaced, the one is in the other's way


@dataclass(frozen=True)
class Figure:
    """A line of the table."""

    what: str
    measured: str
    goal: str = ""
    met: bool | None = None


@dataclass(frozen=True)
class Effort:
    """How much of everything is measured."""

    gateways: int
    changes: int
    drifts: int  # of each kind
    quiet: float  # seconds
    churn: float  # seconds


# --- the scenes


@contextmanager
def operating(cluster: ControlPlane, folder: Path) -> Iterator[Operator]:
    operator = Operator(cluster, OPERATOR, *_ELECTED, folder=folder)
    with stopped_at_the_end(operator):
        yield operator
        if operator.stop():
            raise SystemExit(f"the operator failed:\n{operator.log.read_text()[-4000:]}")


def pid(operator: Operator) -> int:
    assert operator.process is not None
    return operator.process.pid


def found_at_its_start(folder: Path, effort: Effort) -> Iterator[Figure]:
    """All gateways are there before the operator is."""
    what = f"{effort.gateways} found at its start"
    with crowd.control_plane(folder) as cluster, closing(Audit(cluster)) as audit, Kubelets(cluster):
        crowd.create_namespaces(cluster)
        crowd.create(cluster, range(effort.gateways))
        with operating(cluster, folder) as operator:
            began = time.time()
            operator.start()
            yield below(
                f"{what}: all children there, from its start", all_there(cluster, audit, effort.gateways) - began, 60
            )
            settle(audit)
            yield memory(f"{what}: peak memory", operator, 200)


def created_at_once(folder: Path, effort: Effort) -> Iterator[Figure]:
    """The operator has nothing to do at first; then one gateway, then all."""
    what = f"{effort.gateways} created at once"
    with ExitStack() as stack:
        cluster = stack.enter_context(crowd.control_plane(folder))
        audit = stack.enter_context(closing(Audit(cluster)))
        stack.enter_context(Kubelets(cluster))
        crowd.create_namespaces(cluster)
        operator = stack.enter_context(operating(cluster, folder)).start()
        until(lambda: operator.leads, "it leads", _LONGEST)
        yield memory("none yet: peak memory", operator)

        crowd.create(cluster, range(1))
        settle(audit, 3)
        yield changes(cluster, audit, [0] * effort.changes, "one alone", _ROLLOUT)

        cpu, since = Used.by(pid(operator)).cpu, audit.mark()
        crowd.create(cluster, range(1, effort.gateways))
        ended = all_there(cluster, audit, effort.gateways)
        created = [write.at for write in audit.writes(ADMIN, since) if write.resource == kinds.INBOUND_SMTP.plural]
        yield Figure(f"{what}: the last after the first", f"{max(created) - min(created):.1f} s")
        yield below(f"{what}: all children there, from the first", ended - min(created), 60)
        settle(audit)
        each = (Used.by(pid(operator)).cpu - cpu) / (effort.gateways - 1)
        yield Figure(f"{what}: CPU each, until its pods are ready", f"{each * 1000:.0f} ms")
        yield memory(f"{what}: peak memory", operator, 200)

        numbers = [number * 7 % effort.gateways for number in range(1, effort.changes + 1)]
        yield changes(cluster, audit, numbers, f"one of {effort.gateways}")
        settle(audit)
        yield from drifts(cluster, audit, effort)
        settle(audit)
        yield from quiet(audit, operator, effort)
        yield from churn(cluster, audit, operator, effort)
        yield from restarted(audit, operator, effort)


def beside_silent_ones(folder: Path, effort: Effort) -> Iterator[Figure]:
    """Pods of as many gateways drop what the operator sends them; a few others answer."""
    what = f"beside {effort.gateways} silent gateways"
    healthy = range(effort.gateways, effort.gateways + 10)
    with ExitStack() as stack:
        cluster = stack.enter_context(crowd.control_plane(folder))
        audit = stack.enter_context(closing(Audit(cluster)))
        kubelets = stack.enter_context(Kubelets(cluster))
        kubelets.silent = frozenset(map(crowd.name, range(effort.gateways)))
        crowd.create_namespaces(cluster)
        operator = stack.enter_context(operating(cluster, folder)).start()
        until(lambda: operator.leads, "it leads", _LONGEST)
        crowd.create(cluster, range(effort.gateways))
        all_there(cluster, audit, effort.gateways)
        crowd.create(cluster, healthy)
        numbers = [healthy[number % len(healthy)] for number in range(effort.changes)]
        settle(audit)
        yield changes(cluster, audit, numbers, what, _ROLLOUT / 2)
        settle(audit)
        yield settings(cluster, numbers, what)
        since, cpu = audit.mark(), Used.by(pid(operator)).cpu
        time.sleep(effort.quiet)
        used = Used.by(pid(operator)).cpu - cpu
        yield Figure(f"{what}: {effort.quiet:g} quiet seconds: writes", f"{len(audit.operators(since))}")
        yield Figure(f"{what}: {effort.quiet:g} quiet seconds: CPU", f"{used:.2f} s")


# --- figures


def settings(cluster: ControlPlane, numbers: list[int], what: str) -> Figure:
    """Change a setting of one gateway after the other, and wait until the status says that it is live."""
    seconds = []
    for number in numbers:
        gateways = Gateways(cluster, crowd.namespace(number))
        began = time.monotonic()
        crowd.set_limit(cluster, number)
        until(lambda: gateways.condition("ConfigLive", crowd.name(number))["reason"] == "Live", "it is live", 60)  # noqa: B023
        seconds.append(time.monotonic() - began)
        time.sleep(_BETWEEN)
    return spread(f"{what}: a setting is live in all pods, and the status says so", seconds, 2)


def below(what: str, seconds: float, goal: float) -> Figure:
    return Figure(what, f"{seconds:.1f} s", f"< {goal:g} s", seconds < goal)


def spread(what: str, seconds: list[float], goal: float) -> Figure:
    """Return the median, the 95th percentile, which is what the goal is for, and the longest."""
    percentiles = quantiles(seconds, n=20, method="inclusive")
    p50, p95 = percentiles[9], percentiles[18]
    text = f"p50 {p50 * 1000:.0f}, p95 {p95 * 1000:.0f}, max {max(seconds) * 1000:.0f} ms"
    return Figure(what, text, f"p95 < {goal:g} s", p95 < goal)


def memory(what: str, operator: Operator, goal: float | None = None) -> Figure:
    peak = Used.by(pid(operator)).peak
    text = f"{peak:.0f} MiB"
    return Figure(what, text) if goal is None else Figure(what, text, f"< {goal:g} MiB", peak < goal)


def all_there(cluster: ControlPlane, audit: Audit, gateways: int) -> float:
    """Wait until all children have been created, and return when the last one was."""
    missing = {about for number in range(gateways) for about in crowd.children(number)}
    seen, ended = 0, time.time()

    def are_there() -> bool:
        nonlocal seen, ended
        since, seen = seen, audit.mark()
        for write in audit.operators(since):
            if write.status == 201 and write.about in missing:
                missing.discard(write.about)
                ended = write.at
        if missing and time.time() - ended > _LOST:  # who gave up waiting for an answer does not try again
            there = {about for about in missing if cluster.ask("GET", crowd.path(about)).accepted}
            missing.difference_update(there)
            ended = time.time()
        return not missing

    until(are_there, f"{gateways * len(crowd.CHILDREN)} children", _LONGEST)
    return ended


def settle(audit: Audit, seconds: float = _QUIET_BEFORE) -> None:
    """Wait until the operator has written nothing for a while."""

    def is_settled() -> bool:
        last = max((write.at for write in audit.operators(settle_from)), default=began)
        return time.time() - max(last, began) > seconds

    began, settle_from = time.time(), audit.mark()
    until(is_settled, "the operator has nothing more to write", _LONGEST)


def changes(cluster: ControlPlane, audit: Audit, numbers: list[int], what: str, between: float = _BETWEEN) -> Figure:
    """Change one gateway after the other."""
    seconds = []
    for number in numbers:
        since = audit.mark()
        crowd.change(cluster, number)
        seconds.append(applied_after(audit, since, number))
        time.sleep(between)
    return spread(f"{what}: a change is in all {len(crowd.OF_A_PORT)} children that it concerns", seconds, 1)


def applied_after(audit: Audit, since: int, number: int) -> float:
    """Wait until a change is in all children, and return the seconds that this took."""
    names = (crowd.name(number), f"{crowd.name(number)}-c2")
    first: dict[str, float] = {}

    def is_applied() -> bool:
        for write in audit.operators(since):
            if write.namespace == crowd.namespace(number) and write.name in names:
                first.setdefault(write.resource, write.at)
        return first.keys() >= crowd.OF_A_PORT

    until(is_applied, f"a change of {crowd.name(number)}", 60)
    about = (kinds.INBOUND_SMTP.plural, crowd.namespace(number), crowd.name(number))
    accepted = next(write.at for write in audit.writes(ADMIN, since) if write.about == about)
    return max(first[resource] for resource in crowd.OF_A_PORT) - accepted


_CONTAINERS = "/spec/template/spec/containers"
_FOREIGN = "registry.example.org/foreign"


def _operation(op: str, path: str, value: Any) -> list[dict[str, Any]]:
    return [{"op": op, "path": path, "value": value}]


# What is done to which child, by a merge patch where it is a dictionary, by a JSON Patch where it is a list
TAMPERS: dict[str, tuple[kinds.Kind, Any]] = {
    "a ConfigMap's key changed": (kinds.CONFIG_MAP, {"data": {"inboundsmtp.json": "{}"}}),
    "a ConfigMap's key added": (kinds.CONFIG_MAP, {"data": {"foreign": "1"}}),
    "a ConfigMap deleted": (kinds.CONFIG_MAP, None),
    "a Service's port changed": (kinds.SERVICE, _operation("replace", "/spec/ports/0/port", 2626)),
    "a Deployment's image changed": (kinds.DEPLOYMENT, _operation("replace", f"{_CONTAINERS}/0/image", _FOREIGN)),
    "a Deployment's container added": (
        kinds.DEPLOYMENT,
        _operation("add", f"{_CONTAINERS}/-", {"name": "foreign", "image": _FOREIGN}),
    ),
    "a Deployment deleted": (kinds.DEPLOYMENT, None),
    "a PodDisruptionBudget changed": (kinds.DISRUPTION_BUDGET, {"spec": {"maxUnavailable": 2}}),
    "a NetworkPolicy opened": (kinds.NETWORK_POLICY, {"spec": {"ingress": [{}]}}),
    "a ServiceAccount deleted": (kinds.SERVICE_ACCOUNT, None),
}


def drifts(cluster: ControlPlane, audit: Audit, effort: Effort) -> Iterator[Figure]:
    """Tamper with children in every way, and wait until each is as rendered."""
    numbers = itertools.count(3, 11)
    seconds: list[float] = []
    for what, (kind, body) in TAMPERS.items():
        some = [
            repaired_after(cluster, audit, next(numbers) % effort.gateways, kind, body) for _ in range(effort.drifts)
        ]
        yield Figure(f"put back: {what}", f"max {max(some) * 1000:.0f} ms", "< 2 s", max(some) < 2)
        seconds += some
    yield spread(f"put back: all {len(seconds)}, of these {len(TAMPERS)} kinds", seconds, 2)


def repaired_after(cluster: ControlPlane, audit: Audit, number: int, kind: kinds.Kind, body: Any) -> float:
    """Tamper with a child, wait until it is as rendered, and return the seconds that this took."""
    rendered = Gateways(cluster, crowd.namespace(number)).rendered(crowd.name(number))
    manifest = next(child for child in rendered if child["kind"] == kind.name)
    path = kind.path(crowd.namespace(number), manifest["metadata"]["name"])
    about = (kind.plural, crowd.namespace(number), manifest["metadata"]["name"])

    def is_repaired() -> bool:
        there = cluster.ask("GET", path)
        if not there.accepted or any(drift.differences(manifest, there.body)):
            return False
        return not additions.added(manifest, there.body)

    def repairs() -> list[float]:
        return [write.at for write in audit.operators(since) if write.about == about]

    since = audit.mark()
    tamper(cluster, path, body)
    until(is_repaired, f"drift of {path} repaired", 60)
    until(lambda: bool(repairs()), f"the repair of {path} is in the audit log", 10)
    time.sleep(_BETWEEN)
    return max(repairs()) - next(write.at for write in audit.writes(ADMIN, since) if write.about == about)


def tamper(cluster: ControlPlane, path: str, body: Any) -> None:
    if body is None:
        cluster.ask("DELETE", path).expect_accepted()
        return
    content_type = f"application/{'json' if isinstance(body, list) else 'merge'}-patch+json"
    cluster.ask("PATCH", path, json.dumps(body).encode(), content_type=content_type).expect_accepted()


def quiet(audit: Audit, operator: Operator, effort: Effort) -> Iterator[Figure]:
    """Nothing happens."""
    since, cpu = audit.mark(), Used.by(pid(operator)).cpu
    time.sleep(effort.quiet)
    writes = audit.operators(since)
    used = Used.by(pid(operator)).cpu - cpu
    what = f"{effort.quiet:g} quiet seconds"
    yield Figure(f"{what}: writes but the Lease's", f"{len(writes)}", "0", not writes)
    yield Figure(f"{what}: CPU", f"{used:.2f} s")


def churn(cluster: ControlPlane, audit: Audit, operator: Operator, effort: Effort) -> Iterator[Figure]:
    """Change gateways, some a second, and have one come and one go each second."""
    cpu, deadline = Used.by(pid(operator)).cpu, time.monotonic() + effort.churn
    extra: deque[int] = deque()
    for count in itertools.count(1):
        crowd.change(cluster, count * 13 % effort.gateways)
        if count % 5 == 0:
            extra.append(effort.gateways + count)
            crowd.create(cluster, range(extra[-1], extra[-1] + 1))
        if len(extra) > 10:
            crowd.delete(cluster, extra.popleft())
        if time.monotonic() > deadline:
            break
        time.sleep(_BETWEEN)
    settle(audit)
    used = Used.by(pid(operator)).cpu - cpu
    what = f"{effort.churn:g} s of churn, {count} changes"
    yield memory(f"{what}: peak memory", operator, 200)
    yield Figure(f"{what}: CPU each, with its rollout", f"{used / count * 1000:.0f} ms")


def restarted(audit: Audit, operator: Operator, effort: Effort) -> Iterator[Figure]:
    """It ends, and another begins with what it finds: all is as it should be."""
    operator.stop()
    since = audit.mark()
    operator.start()
    until(lambda: operator.leads, "it leads", _LONGEST)
    until(lambda: operator.looks() >= effort.gateways, "it has looked at all", _LONGEST)
    settle(audit)
    used = Used.by(pid(operator)).cpu
    what = f"started anew beside {effort.gateways}"
    yield Figure(f"{what}: requests to write", f"{len(audit.operators(since))}")
    yield Figure(f"{what}: CPU until it has looked at all", f"{used:.1f} s")


# --- the page


def machine(arguments: list[str]) -> str:
    """Say where and how this was measured."""
    cpu = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    gibibytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    command = " ".join(["python -m tests.bench.run_operator", *arguments])
    return f"""\
- {datetime.now(UTC):%Y-%m-%d}, `{command}`.
  Operator, API server, etcd, controllers and played pods share the machine.
- {os.cpu_count()} cores ({cpu[1] if cpu else platform.machine()}), {gibibytes:.0f} GiB, Linux {platform.release()}.
  Load before the run: {os.getloadavg()[0]:.1f}.
- {python()}, Mailport {version("mailport")}, kopf {version("kopf")}."""


def table(figures: list[Figure]) -> str:
    words = {True: "met", False: "missed", None: ""}
    rows = [f"| {one.what} | {one.measured} | {one.goal} | {words[one.met]} |" for one in figures]
    return "\n".join(["| | measured | goal | |", "|---|--:|--:|---|", *rows])


def write(text: str) -> None:
    """Put the figures between their markers; the prose around them stays."""
    before, begin, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{PAGE}: no {BEGIN} … {END}")
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


SCENES: list[Callable[[Path, Effort], Iterator[Figure]]] = [found_at_its_start, created_at_once, beside_silent_ones]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer of everything, in some minutes")
    parser.add_argument("--gateways", type=int, default=GATEWAYS, help="default: %(default)s")
    parser.add_argument("--only", choices=[scene.__name__ for scene in SCENES], help="one scene (default: all)")
    options = parser.parse_args()
    full = Effort(options.gateways, changes=60, drifts=5, quiet=60, churn=300)
    effort = Effort(options.gateways, changes=20, drifts=2, quiet=20, churn=30) if options.quick else full

    where = machine(sys.argv[1:])
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="mailport-bench-") as folder:
        for scene in [scene for scene in SCENES if options.only in {None, scene.__name__}]:
            for figure in scene(Path(folder) / scene.__name__, effort):
                sys.stderr.write(f"{figure.what}: {figure.measured}\n")
                figures.append(figure)
    text = f"{where}\n\n{table(figures)}"
    sys.stdout.write(text + "\n")
    if options.only is None and effort == Effort(GATEWAYS, full.changes, full.drifts, full.quiet, full.churn):
        write(text)


if __name__ == "__main__":
    main()
