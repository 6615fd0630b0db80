"""A cluster with a node: pods run in earnest, in a machine inside this one (machine.py), on the control plane of
tests/kube, from the images that images.py makes. As root; nothing is left behind but a cache.
"""

import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from tests.e2e import configuration
from tests.e2e.configuration import API_SERVER, CGROUP, NAME, PODS, SERVICES
from tests.e2e.images import Images
from tests.e2e.machine import NODE, NODE_6, Machine
from tests.kube.cluster import SECONDS_TO_STOP, Cluster, NotBuiltError, program

KUBERNETES = (
    "kube-apiserver",
    "etcd",
    "kubectl",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
    "network-policies",
    "helm",  # for the tests
)
PROGRAMS = (
    *("containerd", "containerd-shim-runc-v2", "ctr", "runc", "iptables", "ip6tables", "conntrack", "ip"),
    *("buildah", "debootstrap", "catatonit", "nsenter", "unshare", "setpriv"),
)
CNI = tuple(map(Path, ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni")))
LOCK = Path("/run/mailport-e2e.lock")  # of the machine, whosever cache is used
CGROUPS = Path("/sys/fs/cgroup")


def missing() -> list[str]:
    """Name what a node takes and this machine lacks."""
    lacks = [] if os.geteuid() == 0 else ["root"]
    lacks += [name for name in PROGRAMS if not shutil.which(name)]
    if not any((folder / "bridge").exists() for folder in CNI):
        lacks.append("containernetworking-plugins")
    for name in KUBERNETES:
        try:
            program(name)
        except NotBuiltError:
            lacks.append(name)
    return lacks


class Node(Cluster):
    """A cluster of one node, of both address families. The machine that tests run on reaches its pods, Services and
    node ports, each at its own address, and they reach nothing beyond that machine.
    """

    address = NODE
    service_ranges = SERVICES
    pod_ranges = PODS

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        super().__init__(folder)
        self.say = say
        self._cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mailport/e2e"
        self._lock: TextIO | None = None
        self._machine = Machine(NAME)
        self.image = ""
        """The name of the product's image."""
        self._namespaces: list[str] = []

    # --- its life

    def bring_up(self) -> None:
        """Start everything, with the product's image in it."""
        begin = time.monotonic()
        self._cache.mkdir(parents=True, exist_ok=True)
        self._wait_for_our_turn()
        self._images = images = Images(self._cache, self.folder, self.say)
        pause, self.image = images.pause(), images.product()
        built = time.monotonic()

        networks = dict(zip(f"{SERVICES},{PODS}".split(","), (NODE, NODE_6) * 2, strict=True))
        self._machine.start(networks)
        self._start_containerd(pause)
        self.start({})
        self.start_controllers()
        self._start_scheduler()
        for image in (pause, self.image):
            self._load(images, image)
        self._start_kubelet()
        self._start_proxy()
        self._start_name_server()
        self._start_network_policies()
        self.wait_for("the node is ready", self._is_node_ready, 60)
        now = time.monotonic()
        self.say(f"the node is ready in {now - begin:.0f} s, {built - begin:.0f} of them for images")

    def stop(self) -> None:
        """End everything; nothing of it stays mounted, linked or on disk but logs and the cache."""
        self._machine.stop()
        super().stop()
        self.wait_for("its cgroups are free", _remove_cgroups, SECONDS_TO_STOP)
        for name in ("kubelet", "etcd", "buildah"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        if self._lock:
            self._lock.close()

    def _wait_for_our_turn(self) -> None:
        """Two nodes would share names and addresses. The lock goes with the process, however that ends."""
        self._lock = LOCK.open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.say("waiting for another run's node to end")
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def command(self, *command: str | Path) -> list[str | Path]:
        return [*self._machine.inside(*command)]

    def api_server_addresses(self) -> tuple[str, ...]:
        return NODE, API_SERVER

    def api_server_options(self) -> tuple[str, ...]:
        self._authority.issue("kubelet-client", "kube-apiserver", "system:masters")
        return (
            f"--kubelet-client-certificate={self.folder / 'kubelet-client.crt'}",
            f"--kubelet-client-key={self.folder / 'kubelet-client.key'}",
            "--kubelet-preferred-address-types=InternalIP",
        )

    def _start_scheduler(self) -> None:
        kubeconfig = self.certified_kubeconfig("scheduler", "system:kube-scheduler")
        self.run("kube-scheduler", f"--kubeconfig={kubeconfig}", "--leader-elect=false", "--bind-address=127.0.0.1")

    def _start_containerd(self, pause: str) -> None:
        networks = self._write("cni/pods.conflist", configuration.network()).parent
        plugins = next(folder for folder in CNI if (folder / "bridge").exists())
        told = self.folder / "containerd.toml"
        told.write_text(configuration.containerd(pause, networks, plugins))
        self.run("containerd", f"--config={told}", path=Path(shutil.which("containerd") or ""))
        self.wait_for("containerd answers", self._is_containerd_ready, 60)

    def _load(self, images: Images, image: str) -> None:
        archive = self.folder / "image.tar"
        images.archive(image, archive)
        self.ctr("images", "import", str(archive))
        archive.unlink()

    def _start_kubelet(self) -> None:
        for hierarchy in _hierarchies():
            (hierarchy / CGROUP).mkdir(exist_ok=True)
        self.run(
            "kubelet",
            f"--kubeconfig={self.certified_kubeconfig('kubelet', f'system:node:{NAME}', 'system:nodes')}",
            f"--config={self._write('kubelet.json', configuration.kubelet(self._authority.certificate, NODE))}",
            f"--root-dir={self.folder / 'kubelet'}",
            f"--cert-dir={self.folder / 'kubelet-certificates'}",
            f"--hostname-override={NAME}",
            f"--node-ip={NODE},{NODE_6}",
        )

    def _start_proxy(self) -> None:
        kubeconfig = self.certified_kubeconfig("proxy", "system:kube-proxy", "system:node-proxier")
        self.run("kube-proxy", f"--config={self._write('proxy.json', configuration.proxy(kubeconfig))}")

    def _start_name_server(self) -> None:
        told = self.folder / "Corefile"
        told.write_text(configuration.name_server(self.kubeconfig, NODE))
        self.run("coredns", f"-conf={told}")

    def _start_network_policies(self) -> None:
        kubeconfig = self.certified_kubeconfig("network-policies", "network-policies", "system:masters")
        self.run("network-policies", f"-kubeconfig={kubeconfig}", f"-node={NAME}")

    def _write(self, name: str, content: dict[str, Any]) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
        return path

    def _is_containerd_ready(self) -> bool:
        self.check_processes()
        try:
            self.ctr("version")
        except AssertionError:
            return False
        return True

    def _is_node_ready(self) -> bool:
        self.check_processes()
        node = self.ask("GET", f"/api/v1/nodes/{NAME}")
        conditions = node.body["status"].get("conditions", []) if node.accepted else []
        return {"Ready": "True"} in [{each["type"]: each["status"]} for each in conditions]

    # --- images

    def tag_image(self, tag: str) -> str:
        """Give the product's image another name, as an upgrade needs one; return it."""
        name = f"{self.image.rpartition(':')[0]}:{tag}"
        self.ctr("images", "tag", "--force", self.image, name)
        return name

    def changed_image(self, tag: str, sources: Mapping[str, str]) -> str:
        """Bring an image onto the node that is the product's but for some modules' sources; return its name."""
        name = f"{self.image.rpartition(':')[0]}:{tag}"
        self._images.changed(name, sources)
        self._load(self._images, name)
        return name

    def ctr(self, *arguments: str) -> str:
        """Ask containerd itself, of what Kubernetes runs."""
        return self._machine.run("ctr", "--namespace=k8s.io", *arguments, seconds=120)

    # --- what runs on it

    @contextmanager
    def namespace(self) -> Iterator[str]:
        """Make a namespace that enforces the restricted Pod Security Standard; at the end it is deleted."""
        name = self.new_namespace()
        self.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        self._namespaces.append(name)
        try:
            yield name
        except BaseException as error:  # where it was being made ready for tests
            error.add_note(self.diagnosis())
            raise
        finally:
            self._namespaces.remove(name)
            self.kubectl("delete", "namespace", name, "--wait=false")

    def apply(self, *objects: str | dict[str, Any], namespace: str) -> None:
        """Apply objects, and documents of YAML, as `kubectl apply` does."""
        text = "---\n".join(each if isinstance(each, str) else json.dumps(each) + "\n" for each in objects)
        self.kubectl("apply", f"--namespace={namespace}", "-f", "-", stdin=text)

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any]:
        """Return an object. AssertionError where there is none."""
        return dict(json.loads(self.kubectl("get", kind, name, f"--namespace={namespace}", "--output=json")))

    def pods(self, namespace: str, selector: str = "") -> list[dict[str, Any]]:
        """Return the pods that a selector of labels selects."""
        query = {"labelSelector": selector} if selector else {}
        return list(self.ask("GET", f"/api/v1/namespaces/{namespace}/pods", **query).expect_accepted().body["items"])

    def wait_until_available(self, namespace: str, deployment: str, seconds: float = 60) -> None:
        """Wait until all replicas of the Deployment's newest generation are there and take part."""

        def available() -> bool:
            found = self.ask("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/{deployment}")
            if not found.accepted:
                return False
            status, wanted = found.body.get("status", {}), found.body["spec"]["replicas"]
            return status.get("observedGeneration") == found.body["metadata"]["generation"] and all(
                status.get(count, 0) == wanted for count in ("replicas", "updatedReplicas", "availableReplicas")
            )

        self.wait_for(f"{namespace}/{deployment} is available", available, seconds)

    def wait_for_service_account(self, namespace: str) -> None:
        """Wait until a bare pod may be made: a controller gives each namespace its ServiceAccount `default`."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
        self.wait_for(f"{namespace} has its ServiceAccount", lambda: self.ask("GET", path).accepted)

    @contextmanager
    def kept(self, namespace: str, pod: str) -> Iterator[None]:
        """Keep a pod to be read after it has ended: it goes at the end of this, and else at once."""

        def patch(finalizers: list[str]) -> None:
            change = json.dumps({"metadata": {"finalizers": finalizers}})
            self.kubectl("patch", "pod", pod, f"--namespace={namespace}", "--type=merge", f"--patch={change}")

        patch(["mailport.dev/e2e"])
        try:
            yield
        finally:
            patch([])

    def wait_until_ended(self, namespace: str, pod: str, seconds: float = 60) -> dict[str, Any]:
        """Wait until a pod's first container has ended; return how (ContainerStateTerminated)."""
        how: list[dict[str, Any]] = []

        def ended() -> bool:
            state = self.get("pod", pod, namespace)["status"]["containerStatuses"][0]["state"]
            how.extend([state["terminated"]] if "terminated" in state else [])
            return bool(how)

        self.wait_for(f"{namespace}/{pod} has ended", ended, seconds)
        return how[0]

    def cluster_ip(self, namespace: str, service: str) -> str:
        """Return a Service's address, which pods and tests reach alike."""
        return str(self.get("service", service, namespace)["spec"]["clusterIP"])

    def node_port(self, namespace: str, service: str, port: str) -> int:
        """Return the node port of a Service's named port; it answers at the node's own `address`."""
        ports = self.get("service", service, namespace)["spec"]["ports"]
        return int(next(each["nodePort"] for each in ports if each["name"] == port))

    def kill(self, namespace: str, pod: str) -> None:
        """End a pod's first container as a crash would."""
        self.ctr("tasks", "kill", "--signal", "SIGKILL", self._container(namespace, pod))

    def _container(self, namespace: str, pod: str) -> str:
        found: str = self.get("pod", pod, namespace)["status"]["containerStatuses"][0]["containerID"]
        return found.partition("//")[2]

    def logs(self, namespace: str, pod: str, *options: str) -> str:
        return self.kubectl("logs", pod, f"--namespace={namespace}", *options)

    def exec(self, namespace: str, pod: str, *command: str) -> str:
        """Run a command in a pod's first container."""
        return self.kubectl("exec", pod, f"--namespace={namespace}", "--", *command)

    def inside(self, *command: str | Path) -> list[str]:
        """Return the command as it is run on the node itself: there, node ports answer on 127.0.0.1 as well."""
        return self._machine.inside(*command)

    def inside_pod(self, namespace: str, pod: str, *command: str | Path) -> list[str]:
        """Return the command, one of this machine's, as it is run in a pod's network."""
        container = self._container(namespace, pod)
        tasks = {row.split()[0]: row.split()[1] for row in self.ctr("tasks", "list").splitlines()[1:]}
        return self.inside("nsenter", f"--target={tasks[container]}", "--net", "--", *command)

    def diagnosis(self) -> str:
        """Tell what somebody who finds a test failed wants to see of its namespaces, or why that cannot be told."""
        told = [f"The programs' logs: {self.folder}"]
        with _recording(told):
            for namespace in self._namespaces:
                told.append(self.kubectl("get", "all,events", f"--namespace={namespace}", "--output=wide"))
                for pod in self.pods(namespace):
                    name = pod["metadata"]["name"]
                    told.append(f"{name}: {json.dumps(pod['status'].get('containerStatuses', []), indent=1)}")
                    with _recording(told):  # it may never have started
                        told.append(self.logs(namespace, name, "--tail=50"))
        return "\n".join(told)


@contextmanager
def _recording(told: list[str]) -> Iterator[None]:
    """Tell of what goes wrong in the telling."""
    try:
        yield
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        told.append(str(error))


def _remove_cgroups() -> bool:
    """Remove what the kubelet made, and say whether it is gone: the kernel frees a cgroup a moment after its end."""
    for hierarchy in _hierarchies():
        for path in sorted(hierarchy.glob(f"{CGROUP}/**/"), reverse=True):  # what is below comes first
            with suppress(OSError):
                path.rmdir()
    return not any((hierarchy / CGROUP).exists() for hierarchy in _hierarchies())


def _hierarchies() -> list[Path]:
    """Return the roots of the cgroups: one of version 2, or one for each controller."""
    whole = (CGROUPS / "cgroup.controllers").exists()
    return [CGROUPS] if whole else [path for path in CGROUPS.iterdir() if path.is_dir() and not path.is_symlink()]
