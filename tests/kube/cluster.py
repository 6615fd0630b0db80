"""A real control plane, for as long as the tests run: etcd, kube-apiserver and, where asked for, controllers.

Nothing is left behind: each process has a group of its own, so that Ctrl-C reaches pytest alone and the fixture stops
them in order; and each dies with pytest (PR_SET_PDEATHSIG), however that ends.
"""

import itertools
import json
import secrets
import shutil
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.kube.certificates import Authority
from tests.ports import free_port

ROOT = Path(__file__).parent.parent.parent
CRD = ROOT / "crds/inboundsmtp.yaml"

SECONDS_TO_START = 60  # it takes 3; the machine may be busy
SECONDS_TO_STOP = 10
ADMIN = "admin"


class NotBuiltError(Exception):
    """A program is not there."""


def program(name: str) -> Path:
    """Find a program that tools/kube.sh built, or that lies in KUBEBUILDER_ASSETS."""
    found = subprocess.run([ROOT / "tools/kube.sh", "--where", name], stdout=subprocess.PIPE, text=True, check=False)
    if found.returncode:
        raise NotBuiltError(f"{name} has not been built: make kube")
    return Path(found.stdout.strip())


@dataclass(frozen=True)
class Answer:
    """What the API server said: an object, a list, or a Status that says what is wrong."""

    status: int
    body: dict[str, Any]

    @property
    def accepted(self) -> bool:
        return self.status < 300

    def expect_accepted(self) -> "Answer":
        assert self.accepted, f"{self.status}: {self.body.get('message', self.body)}"
        return self


class Cluster:
    """A control plane of its own, on free ports of 127.0.0.1. tests/e2e puts a node under it, in a network apart."""

    address = "127.0.0.1"
    service_ranges = "10.96.0.0/16"
    pod_ranges = "10.244.0.0/16"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.audit_log = folder / "audit.log"
        self._commands: dict[str, tuple[str | Path, ...]] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._names = itertools.count(1)
        self._tokens: dict[str, str] = {}

    # --- its life

    def start(self, users: Mapping[str, str]) -> None:
        """Start etcd and the API server, with a token for each user: name -> groups, joined by commas."""
        for name in ("etcd", "kube-apiserver", "kubectl"):
            program(name)  # all, before any of them starts
        self._authority = Authority(self.folder)
        self._authority.issue("apiserver", "kube-apiserver", addresses=self.api_server_addresses())
        self._authority.service_account_key()
        self._context = ssl.create_default_context(cafile=str(self._authority.certificate))
        self._tokens = {user: secrets.token_urlsafe(24) for user in (ADMIN, *users)}
        peer, client, port = free_port(), free_port(), free_port()
        self.url = f"https://{self.address}:{port}"
        self.kubeconfig = self.kubeconfig_of(ADMIN)

        self._start_etcd(f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}")
        self._start_api_server(f"http://127.0.0.1:{client}", port, {ADMIN: "system:masters", **users})

    def api_server_addresses(self) -> tuple[str, ...]:
        """Return the addresses that it is asked at."""
        return (self.address,)

    def api_server_options(self) -> tuple[str, ...]:
        """Return what else the API server is told."""
        return ()

    def _start_etcd(self, url: str, peer_url: str) -> None:
        self.run(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-peer-urls={peer_url}",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            "--unsafe-no-fsync",
        )

    def _start_api_server(self, etcd: str, port: int, groups: Mapping[str, str]) -> None:
        tokens = self.folder / "tokens.csv"
        tokens.write_text("".join(f'{self._tokens[user]},{user},{user},"{groups[user]}"\n' for user in groups))
        # Everything that is asked of the server, once it is answered, without the contents
        rules = {"omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]}
        policy = self.folder / "audit-policy.json"
        policy.write_text(json.dumps({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", **rules}))
        self.run(
            "kube-apiserver",
            f"--etcd-servers={etcd}",
            f"--cert-dir={self.folder / 'cert-dir'}",
            f"--tls-cert-file={self.folder / 'apiserver.crt'}",
            f"--tls-private-key-file={self.folder / 'apiserver.key'}",
            f"--bind-address={self.address}",
            f"--secure-port={port}",
            f"--service-cluster-ip-range={self.service_ranges}",
            "--allow-privileged=true",
            "--authorization-mode=Node,RBAC",
            f"--client-ca-file={self._authority.certificate}",
            f"--token-auth-file={tokens}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.folder / 'service-accounts.key'}",
            f"--service-account-signing-key-file={self.folder / 'service-accounts.key'}",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self.audit_log}",
            *self.api_server_options(),
        )
        self.wait_for("the API server is ready", self._is_ready, SECONDS_TO_START)

    def start_controllers(self) -> None:
        """Start the controller manager: garbage collection, the status of Deployments, binding of volumes."""
        self.run(
            "kube-controller-manager",
            f"--kubeconfig={self.certified_kubeconfig('controllers', 'system:kube-controller-manager')}",
            f"--service-account-private-key-file={self.folder / 'service-accounts.key'}",
            f"--root-ca-file={self._authority.certificate}",
            "--use-service-account-credentials",
            "--leader-elect=false",
            "--kube-api-qps=500",  # 20 by default: what a hundred tests left behind holds up the next
            "--kube-api-burst=500",
            "--bind-address=127.0.0.1",
            f"--secure-port={free_port()}",
            "--allocate-node-cidrs=true",
            f"--cluster-cidr={self.pod_ranges}",
        )

    def run(self, name: str, *arguments: str, path: Path | None = None) -> None:
        """Start a program, which dies with this process; what it says goes into a file of its name."""
        self._commands[name] = tuple(self.command(path or program(name), *arguments))
        self._run(name)

    def command(self, *command: str | Path) -> list[str | Path]:
        """Return the command as it is started."""
        return [shutil.which("setpriv") or "setpriv", "--pdeathsig", "KILL", "--", *command]

    def _run(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                self._commands[name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                process_group=0,  # Ctrl-C is not for it
            )

    def kill(self, name: str) -> None:
        """End a program as a crash would."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def run_again(self, name: str, *, until_ready: bool = True) -> None:
        """Start what was killed, as it was, and wait until the API server is ready."""
        self._run(name)
        if not until_ready:
            return
        self.wait_for("the API server is ready", self._is_ready, SECONDS_TO_START)

    @property
    def process_ids(self) -> list[int]:
        """The processes that run, in the order of their start."""
        return [process.pid for process in self._processes.values()]

    def stop(self) -> None:
        """Stop what was started, the last first: an API server would wait for controllers to end."""
        for name in reversed(self._commands):
            process = self._processes.pop(name, None)
            if process is None:
                continue
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def check_processes(self) -> None:
        """Fail where one that was started has ended, with what it said."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                log = (self.folder / f"{name}.log").read_text(errors="replace")
                raise AssertionError(f"{name} ended with {process.returncode}:\n{log[-3000:]}")

    def _is_ready(self) -> bool:
        self.check_processes()
        try:
            request = urllib.request.Request(f"{self.url}/readyz", headers=self._authorization(ADMIN))
            with urllib.request.urlopen(request, timeout=5, context=self._context):
                return True
        except OSError:  # URLError and HTTPError are
            return False

    # --- talking to it

    def write_kubeconfig(self, name: str, user: Mapping[str, str]) -> Path:
        """Write a kubeconfig for whoever has this token or certificate."""
        cluster = {"server": self.url, "certificate-authority": str(self._authority.certificate)}
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "tests", "cluster": cluster}],
                    "users": [{"name": name, "user": dict(user)}],
                    "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": name}}],
                    "current-context": "tests",
                }
            )
        )
        return path

    def certified_kubeconfig(self, name: str, user: str, group: str = "") -> Path:
        """Write a kubeconfig with a certificate for a user that is one of Kubernetes' own."""
        self._authority.issue(name, user, group)
        files = {"client-certificate": f"{self.folder / name}.crt", "client-key": f"{self.folder / name}.key"}
        return self.write_kubeconfig(name, files)

    def kubeconfig_of(self, user: str) -> Path:
        """Write a kubeconfig for one of the users that `start` was given."""
        return self.write_kubeconfig(user.replace(":", "-"), {"token": self._tokens[user]})

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as the admin, and return what it prints."""
        done = subprocess.run(
            [
                program("kubectl"),
                f"--kubeconfig={self.kubeconfig}",
                f"--cache-dir={self.folder / 'kubectl'}",
                *arguments,
            ],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr or done.stdout}"
        return done.stdout

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | dict[str, Any] | None = None,
        *,
        content_type: str = "application/json",
        user: str = ADMIN,
        **query: str,
    ) -> Answer:
        """Ask the API server itself. `body` in bytes goes out as it is."""
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        url = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        headers = {"Content-Type": content_type, "Accept": "application/json", **self._authorization(user)}
        request = urllib.request.Request(url, data=content, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30, context=self._context) as response:
                return Answer(response.status, json.load(response))
        except urllib.error.HTTPError as error:
            with error:
                said = error.read()
            is_object = error.headers.get_content_type() == "application/json"  # not so for a path that is not served
            return Answer(error.code, json.loads(said) if is_object else {"message": said.decode()})

    def server_side_apply(self, path: str, content: bytes, **query: str) -> Answer:
        """Apply an object from YAML, strictly, as `kubectl apply --server-side` does."""
        query = {"fieldManager": "tests", "fieldValidation": "Strict", **query}
        return self.ask("PATCH", path, content, content_type="application/apply-patch+yaml", **query)

    def _authorization(self, user: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._tokens[user]}"}

    def wait_for(self, what: str, happens: Callable[[], bool], seconds: float = 30) -> None:
        """Wait until something is so; the bound is there to fail at, not to be waited for."""
        deadline = time.monotonic() + seconds
        while not happens():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
            time.sleep(0.05)

    def audit(self, *users: str) -> Iterator[dict[str, Any]]:
        """Yield what was asked of the API server so far (audit.k8s.io/v1 Events, in the order they were answered).

        Where users are named, what these asked. A request is nobody's that the API server could not authenticate,
        as while it starts.
        """
        marker = secrets.token_hex(8)  # a request is logged a moment after it is answered
        self.ask("GET", "/version", marker=marker).expect_accepted()
        self.wait_for("what was answered is logged", lambda: marker in self.audit_log.read_text(encoding="utf-8"))
        with self.audit_log.open(encoding="utf-8") as log:
            for line in log:
                if not line.endswith("\n"):
                    return  # it is still in writing
                event = json.loads(line)
                if not users or event["user"].get("username") in users:
                    yield event

    # --- what tests begin with

    def new_namespace(self) -> str:
        """Make a namespace that no other test uses."""
        name = f"test-{next(self._names)}"
        self.create_namespace(name)
        return name

    def create_namespace(self, name: str) -> None:
        """Make a namespace, if it is not there."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        answer = self.ask("POST", "/api/v1/namespaces", body)
        assert answer.accepted or answer.status == 409, answer.body

    def install_crd(self) -> None:
        """Apply the CustomResourceDefinition, and wait until InboundSmtps can be asked for."""
        name = yaml.safe_load(CRD.read_text())["metadata"]["name"]
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
        self.server_side_apply(path, CRD.read_bytes()).expect_accepted()
        collection = "/apis/mailport.dev/v1alpha1/inboundsmtps"
        self.wait_for("InboundSmtps are served", lambda: self.ask("GET", collection).accepted)
