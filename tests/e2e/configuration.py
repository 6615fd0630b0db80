"""PURE. What the programs of the node are told."""

from pathlib import Path
from typing import Any

NAME = "n1"
SERVICES = "198.18.64.0/18,fd6d:6169:6c70:64::/112"
PODS = "198.18.128.0/17,fd6d:6169:6c70:8000::/56"
NODES_PODS = ("198.18.128.0/24", "fd6d:6169:6c70:8000::/64")  # the first of them, which a first node gets
API_SERVER = "198.18.64.1"  # as pods know it: the first address of Services
CGROUP = "mailport-e2e"
DOMAIN = "cluster.local"


def containerd(pause: str, networks: Path, plugins: Path) -> str:
    """Return containerd.toml; its images are in memory, as no disk has to confirm what is thrown away."""
    return f"""\
version = 2
root = "/run/images"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true  # where root may not lower it, as in a container
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{networks}"
"""


def network() -> dict[str, Any]:
    """Return the network of the pods, each with an address of both families that is not hidden behind the node's."""
    bridge = {
        "type": "bridge",
        "bridge": "pods",
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": subnet}] for subnet in NODES_PODS],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
        },
    }
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}],
    }


def kubelet(certificate_authority: Path, name_server: str) -> dict[str, Any]:
    """Return a configuration that takes any Linux: cgroup v1 will do, with swap and a disk that is nearly full."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"x509": {"clientCAFile": str(certificate_authority)}},
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        "clusterDNS": [name_server],
        "clusterDomain": DOMAIN,
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "evictionHard": {"memory.available": "1Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
        "failCgroupV1": False,
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,
        "localStorageCapacityIsolation": False,
        "resolvConf": "",  # but the cluster's own, no name server is within reach
    }


def name_server(kubeconfig: Path, address: str) -> str:
    """Return CoreDNS's Corefile: Services' names, and no others."""
    return f"""\
.:53 {{
    bind {address}
    errors
    kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
    }}
}}
"""


def proxy(kubeconfig: Path) -> dict[str, Any]:
    """Return kube-proxy's."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "clusterCIDR": PODS,
        "conntrack": {"maxPerCore": 0, "min": 0},  # of the whole machine: left alone
        "hostnameOverride": NAME,
        "mode": "iptables",
    }
