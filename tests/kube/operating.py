"""The operator as a process of its own, and a stand-in for what a kubelet and a listener do in a pod.

The stand-in is a fake: there is no node in these tests. It gives each pod an address of 127.0.0.0/8, says that it is
ready, and answers `/status` there with what a listener would say that mounts the pod's ConfigMap and Secrets. Like a
kubelet it mounts anew when the pod's annotations change, and not before (a real one does so after a minute or more).
tests/e2e show the same with a real kubelet and real listeners.
"""

import hashlib
import http.server
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from mailport.contract.model import InboundSmtp
from mailport.contract.references import references
from tests.dropped import dropped_packets
from tests.kube.cluster import ROOT, Cluster, program
from tests.ports import free_port

IMAGE = "mailport:tests"

# The user that the chart's RBAC is for: tests of the operator run as it
OPERATOR = "system:serviceaccount:mailport-system:mailport-operator"
OPERATOR_GROUPS = "system:serviceaccounts,system:serviceaccounts:mailport-system,system:authenticated"
_numbers = itertools.count(1)
_launching = ThreadPoolExecutor(1)  # a process ends with the thread that started it (PR_SET_PDEATHSIG): this one stays


class Operator:
    """`mailport operator`, in a process."""

    def __init__(
        self, cluster: Cluster, user: str, *arguments: str, folder: Path, kubeconfig: Path | None = None
    ) -> None:
        """Another kubeconfig than the user's leads it through a Relay, or has a certificate instead of a token."""
        self._cluster = cluster
        self.log = folder / f"operator-{next(_numbers)}.log"
        self.admin = free_port()
        self._command = [
            sys.executable, "-m", "mailport", "operator",
            f"--listener-image={IMAGE}", f"--admin=127.0.0.1:{self.admin}", *arguments,
        ]  # fmt: skip
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig or cluster.kubeconfig_of(user))}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Operator":
        """Start it, and wait until it has seen everything."""
        self.launch()
        self._cluster.wait_for("the operator is ready", lambda: self.running and self.page("readyz")[0] == 200, 60)
        return self

    def until_live(self) -> None:
        """Wait until a process that was launched answers."""
        self._cluster.wait_for("the operator is live", lambda: self.running and self.page("livez")[0] == 200, 60)

    def launch(self) -> None:
        """Start it, and wait for nothing."""
        with self.log.open("ab") as log:
            self.process = _launching.submit(
                subprocess.Popen,
                ["setpriv", "--pdeathsig", "KILL", "--", *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                process_group=0,
            ).result()

    def page(self, name: str) -> tuple[int, str]:
        """Get a page of the admin port; status 0 where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/{name}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str) -> float:
        """Return a sample of /metrics by its full name."""
        lines = self.page("metrics")[1].splitlines()
        return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name} "))

    def looks(self) -> float:
        """Return how often it has looked at a gateway, and was content with what came of it."""
        return self.metric('mailport_operator_reconciles_total{result="ok"}')

    @property
    def leads(self) -> bool:
        return self.metric("mailport_operator_leader") == 1

    def lines(self) -> list[dict[str, Any]]:
        """Return what it logged so far. Lines are written a few times a second, not at once."""
        whole = self.log.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def until_logged(self, event: str) -> dict[str, Any]:
        """Wait for a line, and return the last such."""
        self._cluster.wait_for(f"it logs {event}", lambda: any(line["event"] == event for line in self.lines()))
        return [line for line in self.lines() if line["event"] == event][-1]

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> int:
        """Have it end, and return its exit status."""
        if self.process is None or self.process.poll() is not None:
            return 0 if self.process is None else self.process.returncode
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def kill(self) -> None:
        """End it as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @property
    def running(self) -> bool:
        """Say that it runs; fail where it has ended, with what it said."""
        assert self.process is not None
        assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.log.read_text()[-4000:]}"
        return True


class Listener:
    """What a pod says of itself at `/status`: a fake, see above."""

    def __init__(self, address: str, port: int, said: dict[str, Any]) -> None:
        self.said = said
        self.asked = 0
        self._dropping = ExitStack()
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                listener.asked += 1
                content = json.dumps(listener.said).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer((address, port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._dropping.close()

    def drop_packets(self) -> None:
        """Answer nothing any more, not even that nobody listens."""
        address, port = self._server.server_address[:2]
        self.stop()
        self._dropping.enter_context(dropped_packets(str(address), port))


class Node:
    """Plays kubelet and listeners for all pods of a namespace: a fake, see above."""

    def __init__(
        self, cluster: Cluster, namespace: str, read: Callable[[str], InboundSmtp] = InboundSmtp.parse_json
    ) -> None:
        """Its listeners read their configuration by `read`: one that they cannot read ends the test."""
        self._cluster = cluster
        self._read = read
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._config_maps = f"/api/v1/namespaces/{namespace}/configmaps"
        self._secrets = f"/api/v1/namespaces/{namespace}/secrets"
        self.listeners: dict[str, Listener] = {}  # by the pod's name
        self._mounted: dict[str, str] = {}  # by the pod's name: its annotations when its volumes were mounted
        self.override: dict[str, Any] = {}  # what every listener says besides
        self.mounts = True  # False: a kubelet whose watch of ConfigMaps is far behind
        self.ready = True
        self.starts = True  # False: containers of new pods do not start
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        for listener in self.listeners.values():
            listener.stop()

    def _run(self) -> None:
        while not self._stopping.wait(0.1):
            answer = self._cluster.ask("GET", self._pods)
            if not answer.accepted:
                continue
            pods = {pod["metadata"]["name"]: pod for pod in answer.body["items"]}
            for name in self.listeners.keys() - pods.keys():
                self.listeners.pop(name).stop()
            for name, pod in pods.items():
                self._keep(name, pod)

    def _keep(self, name: str, pod: dict[str, Any]) -> None:
        annotations = json.dumps(pod["metadata"].get("annotations", {}), sort_keys=True)
        if name not in self.listeners:
            if self.starts and self._is_there(self._config_maps, _config_map(pod)):  # else a kubelet waits for it
                self._start(name, pod)
            return
        if self._mounted[name] == annotations or not self.mounts:
            self.listeners[name].said |= self.override
            self._say_ready(name, pod)
            return
        self.listeners[name].said |= self._mount(name, pod) | self.override

    def _mount(self, name: str, pod: dict[str, Any]) -> dict[str, Any]:
        found = self._cluster.ask("GET", f"{self._config_maps}/{_config_map(pod)}").expect_accepted()
        content = found.body["data"]["inboundsmtp.json"]
        gateway = self._read(content)
        self._mounted[name] = json.dumps(pod["metadata"].get("annotations", {}), sort_keys=True)
        missing = [
            {"kind": "Secret", "name": reference.name, "key": key, "field": reference.field}
            for reference in references(gateway.spec)
            if reference.kind == "Secret" and not self._is_there(self._secrets, reference.name)
            for key in reference.keys
        ]
        return {
            "hash": hashlib.sha256(content.encode()).hexdigest(),
            "generation": gateway.metadata.generation,
            "missing": missing,
            "destinations": [
                {"route": route.name, "state": "Reachable", "error": None} for route in gateway.spec.routes
            ],
            "restartRequired": _opened(pod) != _wanted(gateway),
        }

    def _start(self, name: str, pod: dict[str, Any]) -> None:
        address = f"127.{os.getpid() % 200 + 10}.{next(_numbers) % 250}.{len(self.listeners) + 2}"
        ports = pod["spec"]["containers"][0]["ports"]
        port = next(port["containerPort"] for port in ports if port["name"] == "admin")
        said = {"draining": False, "certificates": [], "reloadError": None}
        self.listeners[name] = Listener(address, port, said | self._mount(name, pod) | self.override)
        self._set_status(name, podIP=address, podIPs=[{"ip": address}], phase="Running")
        self._say_ready(name, pod)

    def _say_ready(self, name: str, pod: dict[str, Any]) -> None:
        wanted = "True" if self.ready else "False"
        conditions = {entry["type"]: entry["status"] for entry in pod["status"].get("conditions", ())}
        if conditions.get("Ready") != wanted:
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            self._set_status(name, conditions=[{"type": "Ready", "status": wanted, "lastTransitionTime": now}])

    def _set_status(self, name: str, **fields: Any) -> None:
        path = f"{self._pods}/{name}/status"
        self._cluster.ask("PATCH", path, {"status": fields}, content_type="application/strategic-merge-patch+json")

    def _is_there(self, collection: str, name: str) -> bool:
        return self._cluster.ask("GET", f"{collection}/{name}").accepted


def _opened(pod: dict[str, Any]) -> set[int]:
    """What a listener in this pod has bound when it started, as the pod's ports say, and goes on with."""
    return {port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}


def _wanted(gateway: InboundSmtp) -> set[int]:
    """What it would bind if it started now."""
    return {listener.port for listener in gateway.spec.listeners} | {gateway.spec.pod.admin_port}


def _config_map(pod: dict[str, Any]) -> str:
    return next(v["configMap"]["name"] for v in pod["spec"]["volumes"] if v["name"] == "config")


@contextmanager
def stopped_at_the_end(*operators: Operator) -> Iterator[None]:
    """Stop operators whatever happens."""
    try:
        yield
    finally:
        for operator in operators:
            if operator.process is not None and operator.process.poll() is None:
                operator.process.send_signal(signal.SIGCONT)
                operator.kill()


@contextmanager
def instead(of: Operator, other: Operator) -> Iterator[Operator]:
    """Run another operator for a while, and then the one that ran before."""
    assert of.stop() == 0
    try:
        with stopped_at_the_end(other):
            yield other.start()
            assert other.stop() == 0
    finally:
        of.start()


@contextmanager
def without(operator: Operator) -> Iterator[None]:
    """Run no operator for a while."""
    assert operator.stop() == 0
    try:
        yield
    finally:
        operator.start()


def grant(cluster: Cluster, *arguments: str, namespace: str = "mailport-system", release: str = "mailport") -> None:
    """Give the operator's ServiceAccount of a namespace what the chart grants, and no more."""
    cluster.create_namespace(namespace)
    chart = ("template", release, str(ROOT / "helm/mailport"), f"--namespace={namespace}", "--set=image.registry=")
    cluster.kubectl("apply", "-f", "-", stdin=helm(*chart, "--show-only=templates/rbac.yaml", *arguments))


def tell(what: str) -> None:
    """Say what was measured: pytest shows it with -s, and of a test that failed."""
    sys.stdout.write(f"{what}\n")


def helm(*arguments: str) -> str:
    """Run helm, and return what it prints."""
    done = subprocess.run([program("helm"), *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def eventually(cluster: Cluster, what: str, happens: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for what an operator is to bring about."""
    cluster.wait_for(what, happens, seconds)
