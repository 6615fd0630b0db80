"""Many gateways on a control plane of the bench's own: how they are written, who plays their pods, what was asked."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import aiohttp
from tests.dropped import dropped_packets
from tests.kube.cluster import ADMIN, Cluster
from tests.kube.operating import OPERATOR, OPERATOR_GROUPS, grant

from mailport.operator import kinds
from mailport.operator.metadata import SELECTOR_LABEL

NAMESPACES = 20
CHILDREN = tuple(kind for kind in kinds.CHILDREN if kind is not kinds.AUTOSCALER)
OF_A_PORT = {"configmaps", "services", "deployments", "networkpolicies"}  # children that a listener's port is in

_ADMIN_PORT = 8080  # the default of pod.adminPort
_AT_ONCE = 16  # requests of ours, so that 500 gateways are there within seconds
_READS = ("get", "list", "watch")
_Json = dict[str, Any]

About = tuple[str, str, str]  # an object, by its kind's plural, its namespace and its name


# --- the control plane


class ControlPlane(Cluster):
    """With one audit log, however long, and with all controllers but those of endpoints.

    The addresses of the pods that are played are of loopback, which no Endpoints may have: these would try again and
    again, and be most of what the API server does.
    """

    def api_server_options(self) -> tuple[str, ...]:
        return ("--audit-log-maxsize=10000",)  # megabytes; by default it begins a new one at 100

    def command(self, *command: str | Path) -> list[str | Path]:
        left_out = "--controllers=*,-endpoints-controller,-endpointslice-controller"
        more = [left_out] if Path(command[0]).name == "kube-controller-manager" else []
        return super().command(*command, *more)


@contextmanager
def control_plane(folder: Path) -> Iterator[ControlPlane]:
    """Run one with the real controllers, where the operator's user may do what the chart grants, and no more."""
    folder.mkdir()
    cluster = ControlPlane(folder)
    try:
        cluster.start({OPERATOR: OPERATOR_GROUPS})
        cluster.start_controllers()
        cluster.install_crd()
        grant(cluster)
        yield cluster
    finally:
        cluster.stop()


# --- what was asked of it


@dataclass(frozen=True)
class Write:
    """One that the API server took."""

    at: float  # seconds since the epoch: when it was answered
    user: str
    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    status: int

    @property
    def about(self) -> About:
        return (self.resource, self.namespace, self.name)


class Audit:
    """The writes in the audit log, read as it grows."""

    def __init__(self, cluster: Cluster) -> None:
        self._log = cluster.audit_log.open(encoding="utf-8")
        self._begun = ""  # a line that is still in writing
        self._writes: list[Write] = []

    def close(self) -> None:
        self._log.close()

    def mark(self) -> int:
        """Return how many there are so far, for `since`."""
        *lines, self._begun = (self._begun + self._log.read()).split("\n")
        self._writes += [_write(event) for event in map(json.loads, lines) if _is_write(event)]
        return len(self._writes)

    def writes(self, user: str, since: int) -> list[Write]:
        """Return a user's since then."""
        self.mark()
        return [write for write in self._writes[since:] if write.user == user]

    def operators(self, since: int) -> list[Write]:
        """Return the operator's but for its Lease."""
        return [write for write in self.writes(OPERATOR, since) if write.resource != "leases"]


def _is_write(event: _Json) -> bool:
    return (
        event["verb"] not in _READS
        and event["user"].get("username") in (ADMIN, OPERATOR)  # one that the API server did not know yet has no name
        and event.get("responseStatus", {}).get("code", 0) < 300
    )


def _write(event: _Json) -> Write:
    about = event["objectRef"]
    return Write(
        at=datetime.fromisoformat(event["stageTimestamp"]).timestamp(),
        user=event["user"]["username"],
        verb=event["verb"],
        resource=about["resource"],
        subresource=about.get("subresource", ""),
        namespace=about.get("namespace", ""),
        name=about.get("name", ""),
        status=event["responseStatus"]["code"],
    )


# --- the gateways

_ports = itertools.count(10_000)


def namespace(number: int) -> str:
    return f"bench-{number % NAMESPACES}"


def name(number: int) -> str:
    return f"mx-{number}"


def document(number: int, port: int = 587) -> _Json:
    """Return a gateway as many are: three listeners, users, an access list, four routes, all children but an HPA."""
    domain = f"d{number}.example.org"
    return {
        "apiVersion": kinds.INBOUND_SMTP.api_version,
        "kind": kinds.INBOUND_SMTP.name,
        "metadata": {"name": name(number), "namespace": namespace(number)},
        "spec": {
            "hostname": f"mx.{domain}",
            "replicas": 2,
            "networkPolicy": "Managed",
            "listeners": [
                {"name": "smtp", "port": 25},
                {"name": "submission", "port": port, "auth": {"required": True}},
                {"name": "submissions", "port": 465, "tls": {"mode": "Implicit"}, "auth": {"required": True}},
            ],
            "tls": {"certificateRefs": [{"name": f"{name(number)}-tls"}]},
            "auth": {"htpasswd": {"secretRef": {"name": f"{name(number)}-users"}}},
            "access": {"policy": "DenyListed", "addresses": [f"198.51.{octet}.0/24" for octet in range(20)]},
            "routes": [
                {"name": "gone", "recipients": [f"old@{domain}"], "deliver": {"refuse": {"text": "moved"}}},
                {"name": "tickets", "recipients": [f"*@tickets.{domain}"], "deliver": {"discard": {}}},
                {"name": "staff", "recipients": [f"*@{domain}"], "deliver": {"maildir": {"createMailboxes": "Never"}}},
                {"name": "rest", "recipients": ["*@*"], "clients": "Authenticated", "deliver": {"discard": {}}},
            ],
        },
    }


def children(number: int) -> Iterator[About]:
    """Yield what the operator makes of a gateway."""
    names = {kinds.SERVICE_ACCOUNT: f"{name(number)}-listener", kinds.CONFIG_MAP: f"{name(number)}-c2"}
    for kind in CHILDREN:
        yield (kind.plural, namespace(number), names.get(kind, name(number)))


def path(about: About) -> str:
    plural, within, called = about
    return next(kind for kind in CHILDREN if kind.plural == plural).path(within, called)


def session(cluster: Cluster) -> aiohttp.ClientSession:
    """Return an HTTP client for the API server, as the admin."""
    return aiohttp.ClientSession(
        cluster.url,
        headers=cluster._authorization(ADMIN),
        connector=aiohttp.TCPConnector(ssl=cluster._context),
        timeout=aiohttp.ClientTimeout(None),
    )


def create(cluster: Cluster, numbers: range) -> None:
    """Create gateways, many at once."""
    asyncio.run(_create(cluster, iter(numbers)))


async def _create(cluster: Cluster, numbers: Iterator[int]) -> None:
    async with session(cluster) as api, asyncio.TaskGroup() as tasks:
        for _ in range(_AT_ONCE):
            tasks.create_task(_create_one_after_the_other(api, numbers))


async def _create_one_after_the_other(api: aiohttp.ClientSession, numbers: Iterator[int]) -> None:
    for number in numbers:
        async with api.post(kinds.INBOUND_SMTP.path(namespace(number)), json=document(number)) as answer:
            assert answer.ok, await answer.text()


def create_namespaces(cluster: Cluster) -> None:
    for number in range(NAMESPACES):
        cluster.create_namespace(namespace(number))


def delete(cluster: Cluster, number: int) -> None:
    cluster.ask("DELETE", kinds.INBOUND_SMTP.path(namespace(number), name(number))).expect_accepted()


def change(cluster: Cluster, number: int) -> None:
    """Give a listener a port that it never had."""
    path = kinds.INBOUND_SMTP.path(namespace(number), name(number))
    spec = {"listeners": document(number, next(_ports))["spec"]["listeners"]}
    cluster.ask("PATCH", path, {"spec": spec}, content_type="application/merge-patch+json").expect_accepted()


def set_limit(cluster: Cluster, number: int) -> None:
    """Change a setting, to a value that it never had: no pod is replaced for it."""
    path = kinds.INBOUND_SMTP.path(namespace(number), name(number))
    spec = {"limits": {"maxConnections": next(_ports)}}
    cluster.ask("PATCH", path, {"spec": spec}, content_type="application/merge-patch+json").expect_accepted()


# --- their pods


class Kubelets:
    """Plays kubelets and listeners for all pods: a fake, as tests/kube/operating.py has one for the tests.

    Each pod is ready at once, and says at `/status` what was in its ConfigMap when it started or was last poked. Those
    of the gateways that are named in `silent` drop every packet there, as behind a NetworkPolicy.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.silent: frozenset[str] = frozenset()
        self._servers: dict[str, asyncio.Server] = {}  # by the pod's uid
        self._mounted: dict[str, tuple[_Json, _Json]] = {}  # its annotations when its volumes were mounted; /status
        self._numbers = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._begun = threading.Event()
        self._failed: BaseException | None = None

    def __enter__(self) -> Self:
        self._dropping = dropped_packets(f"127.{os.getpid() % 200 + 10}.251.1", _ADMIN_PORT)
        self._nowhere, _ = self._dropping.__enter__()
        self._thread.start()
        self._begun.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._dropping.__exit__(None, None, None)
        if self._failed is None:
            self._loop.call_soon_threadsafe(self._main.cancel)
        self._thread.join()
        if self._failed is not None:
            raise self._failed

    async def _run(self) -> None:
        self._loop, self._main = asyncio.get_running_loop(), asyncio.current_task()
        self._begun.set()
        try:
            async with session(self._cluster) as self._api:
                while True:
                    await self._watch()
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # noqa: BLE001 - it is raised where the bench sees it
            self._failed = error
        finally:
            for server in self._servers.values():
                server.close()

    async def _watch(self) -> None:
        query = {"watch": "true", "labelSelector": SELECTOR_LABEL}
        async with self._api.get("/api/v1/pods", params=query) as events:
            async for line in events.content:
                event = json.loads(line)
                if event["type"] == "DELETED":
                    self._forget(event["object"])
                elif event["type"] in ("ADDED", "MODIFIED"):
                    task = asyncio.create_task(self._keep(event["object"]))
                    self._tasks.add(task)
                    task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None and self._failed is None:
            self._failed = task.exception()
            self._main.cancel()

    async def _keep(self, pod: _Json) -> None:
        uid = pod["metadata"]["uid"]
        annotations = pod["metadata"].get("annotations", {})
        begins = uid not in self._mounted
        if begins or self._mounted[uid][0] != annotations:
            self._mounted[uid] = (annotations, {} if begins else self._mounted[uid][1])
            self._mounted[uid] = (annotations, await self._mount(pod))
        if begins:
            await self._start(pod)

    def _forget(self, pod: _Json) -> None:
        uid = pod["metadata"]["uid"]
        self._mounted.pop(uid, None)
        if (server := self._servers.pop(uid, None)) is not None:
            server.close()

    async def _mount(self, pod: _Json) -> _Json:
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        where = f"/api/v1/namespaces/{pod['metadata']['namespace']}"
        async with self._api.get(f"{where}/configmaps/{volumes['config']['configMap']['name']}") as answer:
            content = (await answer.json())["data"]["inboundsmtp.json"] if answer.ok else "{}"
        document = json.loads(content)
        wanted = {listener["port"] for listener in document.get("spec", {}).get("listeners", ())}
        opened = {port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
        return {
            "hash": hashlib.sha256(content.encode()).hexdigest(),
            "generation": document.get("metadata", {}).get("generation", 0),
            "destinations": [
                {"route": route["name"], "state": "Reachable"} for route in document.get("spec", {}).get("routes", ())
            ],
            "restartRequired": not wanted <= opened,  # a listener goes on with what it bound when it started
        }

    async def _start(self, pod: _Json) -> None:
        uid = pod["metadata"]["uid"]
        if pod["metadata"]["labels"][SELECTOR_LABEL] in self.silent:
            await self._say_ready(pod, self._nowhere)
            return
        number = next(self._numbers)
        address = f"127.{os.getpid() % 200 + 10}.{number // 250 % 250}.{number % 250 + 1}"
        ports = pod["spec"]["containers"][0]["ports"]
        port = next(port["containerPort"] for port in ports if port["name"] == "admin")

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError, KeyError):  # whoever asked has gone, or the pod has
                await reader.read(4096)
                content = json.dumps(self._mounted[uid][1]).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content))
            writer.close()

        self._servers[uid] = await asyncio.start_server(answer, address, port)
        await self._say_ready(pod, address)

    async def _say_ready(self, pod: _Json, address: str) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [ready]}
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}/status"
        strategic = {"Content-Type": "application/strategic-merge-patch+json"}
        async with self._api.patch(path, data=json.dumps({"status": status}), headers=strategic) as answered:
            assert answered.status in (200, 404), await answered.text()


# --- the operator's process


@dataclass(frozen=True)
class Used:
    """What a process has used so far."""

    peak: float  # MiB of memory, at most so far
    cpu: float  # seconds

    @classmethod
    def by(cls, pid: int) -> Self:
        sizes = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])  # utime and stime: proc(5)
        return cls(int(sizes["VmHWM"].split()[0]) / 1024, ticks / os.sysconf("SC_CLK_TCK"))


def until(check: Callable[[], bool], what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise SystemExit(f"not in {seconds:g} s: {what}")
        time.sleep(0.05)
