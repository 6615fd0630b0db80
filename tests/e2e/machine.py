"""A machine inside this one: processes, mounts and a network of its own, and a link to it.

The kernel clears up: whatever runs or is mounted in it, pods included, ends with its first process, and that one ends
with pytest, however pytest ends. iptables rules, bridges and kernel settings of a network are never this machine's own.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.kube.cluster import SECONDS_TO_STOP

# Of the range for tests of network devices (RFC 2544), which nobody's VPN uses; and of a private /48 (RFC 4193)
LINK = "mailport-e2e"
HOST, NODE, PREFIX = "198.18.0.1", "198.18.0.2", 24
HOST_6, NODE_6, PREFIX_6 = "fd6d:6169:6c70::1", "fd6d:6169:6c70::2", 64

# Kernel settings of the whole machine that a kubelet changes
_KUBELETS = (
    *("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"),
    *("kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"),
)
# What programs of a node keep in places that cannot be set, or would leave on this machine
_OWN_FOLDERS = ("/run", "/var/log", "/var/lib/cni")


def contained(*command: str | Path) -> list[str]:
    """Return the command with mounts and processes of its own, all gone when it ends or is killed."""
    unshared = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return [*dies_with_us(), *unshared, "--", *map(str, command)]


def dies_with_us() -> list[str]:
    return [shutil.which("setpriv") or "setpriv", "--pdeathsig", "KILL", "--"]


class Machine:
    """Network, mounts, processes and host name apart from this machine's. There is one at a time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._init: subprocess.Popen[str] | None = None
        self._target = 0
        self._settings: dict[Path, str] = {}

    def start(self, routes: Mapping[str, str]) -> None:
        """Start its first process, and link it to us, with routes into it: network -> gateway."""
        self._settings = {path: path.read_text() for path in map(Path("/proc/sys").joinpath, _KUBELETS)}
        prepare = "".join(f"mkdir -p {folder}; mount -t tmpfs -o mode=755 tmpfs {folder}; " for folder in _OWN_FOLDERS)
        first = f"set -e; hostname {self._name}; ip link set lo up; {prepare} echo up; exec catatonit -P"
        unshared = [*contained()[:-1], "--net", "--uts", "--", "sh", "-c", first]
        self._init = subprocess.Popen(
            unshared,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,  # Ctrl-C is not for it
        )
        assert self._init.stdout is not None
        assert self._init.stdout.readline() == "up\n", f"no namespaces: {self._init.communicate()[1]}"
        # unshare stays outside; its child is the first process inside
        self._target = int(Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children").read_text())
        self._link(routes)

    def _link(self, routes: Mapping[str, str]) -> None:
        _remove_link()  # of a run that was killed a moment ago
        _ip(f"link add {LINK} type veth peer name eth0 netns {self._target}")
        _ip(f"address add {HOST}/{PREFIX} dev {LINK}")
        _ip(f"link set {LINK} up")
        self.run("ip", "address", "add", f"{NODE}/{PREFIX}", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")
        # nodad: else the address is not to be used for a second
        _ip(f"address add {HOST_6}/{PREFIX_6} dev {LINK} nodad")
        self.run("ip", "address", "add", f"{NODE_6}/{PREFIX_6}", "dev", "eth0", "nodad")
        for network, gateway in routes.items():
            _ip(f"route add {network} via {gateway} dev {LINK}")

    def inside(self, *command: str | Path) -> list[str]:
        """Return the command as it is run inside; it ends where who runs it is killed."""
        entered = ["nsenter", f"--target={self._target}", "--mount", "--net", "--pid", "--uts", "--"]
        return [*dies_with_us(), *entered, *dies_with_us(), *map(str, command)]

    def run(self, *command: str | Path, seconds: float = 60) -> str:
        """Run a command inside, and return what it prints."""
        done = subprocess.run(
            self.inside(*command),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr or done.stdout}"
        return done.stdout

    def stop(self) -> None:
        """End it: the kernel kills all that runs in it, unmounts, and takes the link away with the network."""
        if self._init is None:
            return
        if self._target:
            os.kill(self._target, signal.SIGKILL)  # and unshare ends when all that runs inside has
        else:
            self._init.kill()
        self._init.communicate(timeout=SECONDS_TO_STOP)
        self._init = None
        _remove_link()
        for path, value in self._settings.items():
            if path.read_text() != value:
                path.write_text(value)


def _remove_link() -> None:
    """Do at once what the kernel does by and by."""
    if Path(f"/sys/class/net/{LINK}").exists():
        subprocess.run(["ip", "link", "delete", LINK], stderr=subprocess.DEVNULL, check=False)  # it may be going now


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True)
