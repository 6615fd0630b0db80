"""Mail out of a cluster, with TLS and a login: to a real Dovecot by LMTP, and to a real Postfix by SMTP."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailport.operator.pods.running import is_ready
from tests.deliver.next_hop import servers
from tests.deliver.next_hop.servers import AUTHORITY, NAME, PASSWORD, USER
from tests.e2e.machine import HOST
from tests.e2e.release import NAME as GATEWAY
from tests.e2e.release import Gateway, Release, gateway, send

SHOWS_SECONDS = 60  # until what is wrong with a destination shows in `kubectl describe`
SECRET_SECONDS = 150  # until a changed Secret is in use; the kubelet takes a minute or more
WRONG = "battery staple"


@pytest.fixture
def mx(release: Release, tmp_path: Path) -> Iterator[Gateway]:
    """A namespace of the restricted standard, for a gateway."""
    with gateway(release.node, tmp_path / "mail") as made:
        yield made


def route(**deliver: dict[str, Any]) -> dict[str, Any]:
    return {"routes": [{"name": "onward", "recipients": ["*@example.org"], "deliver": deliver}]}


def put(mx: Gateway, kind: str, name: str, **values: str) -> float:
    """Make or change a Secret or a ConfigMap; return when (monotonic)."""
    field = "stringData" if kind == "Secret" else "data"
    about = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}
    mx.node.apply(
        about | {field: {key.replace("_", "."): value for key, value in values.items()}}, namespace=mx.namespace
    )
    return time.monotonic()


def shows(mx: Gateway, what: str, begin: float, bound: float = SHOWS_SECONDS) -> str:
    """Wait until `kubectl describe` has this; return all that it says."""
    told = [""]

    def has() -> bool:
        told.append(mx.kubectl("describe", "inboundsmtp", GATEWAY))
        return what in told[-1]

    mx.node.wait_for(f"{what!r} in kubectl describe: {mx.conditions()}", has, bound)
    mx.node.say(f"{what!r} shows after {time.monotonic() - begin:.0f} s")
    return told[-1]


def test_lmtp_over_tls_with_a_ca_of_ones_own(mx):
    """Mail arrives. While Dovecot is away that is said, the pod stays ready and mail waits."""
    with servers.dovecot(address=HOST) as dovecot:
        ca = {"kind": "ConfigMap", "name": "ca", "key": "ca.crt"}
        tls = {"mode": "Implicit", "serverName": NAME, "caRef": ca}
        mx.apply(**route(lmtp={"host": HOST, "port": dovecot.ports["lmtps"], "tls": tls}))
        mx.until("ResolvedRefs", "ConfigMapNotFound")
        mx.until("DestinationsReachable", "Misconfigured")
        put(mx, "ConfigMap", "ca", ca_crt=AUTHORITY.pem.decode())
        mx.wait()
        mx.until("DestinationsReachable", "Reachable")
        send(mx.service(), "anna@example.org", "by-lmtp")
        assert len(dovecot.arrived("anna", b"by-lmtp")) == 1

        before = mx.starts()
        dovecot.stop()
        assert put_off(mx)
        mx.node.wait_for("the pod says so", lambda: "Connection refused" in state_of(mx), 30)
        assert mx.condition("Ready")["status"] == "True"
        assert all(is_ready(pod) for pod in mx.pods())
        dovecot.start()
        mx.node.wait_for("the pod says that it is back", lambda: state_of(mx) == "Reachable", 90)
        send(mx.service(), "anna@example.org", "again-by-lmtp")
        assert len(dovecot.arrived("anna", b"again-by-lmtp")) == 1
        assert mx.starts() == before


def state_of(mx: Gateway) -> str:
    """Return what the pod's /status says of its destination."""
    (pod,) = mx.pods()
    path = f"/api/v1/namespaces/{mx.namespace}/pods/{pod['metadata']['name']}:8080/proxy/status"
    (said,) = json.loads(mx.node.kubectl("get", "--raw", path))["destinations"]
    return said["state"] + (f": {said['error']}" if said["error"] else "")


def put_off(mx: Gateway) -> bool:
    """Whether a message is put off."""
    try:
        send(mx.service(), "anna@example.org", "not now")
    except Exception as error:  # noqa: BLE001 - of smtplib there are several that carry a reply
        return "451" in str(error)
    return False


def test_smtp_with_tls_and_a_login_whose_password_is_rotated(mx):
    """A wrong password shows within a minute, and never itself; the right one is taken without a restart."""
    with servers.postfix(address=HOST) as postfix:
        put(mx, "Secret", "smarthost-ca", ca_crt=AUTHORITY.pem.decode())
        put(mx, "Secret", "smarthost", username=USER, password=WRONG)
        smtp = {
            "host": HOST,
            "port": postfix.ports["submission"],
            "tls": {
                "mode": "StartTLSRequired",
                "serverName": NAME,
                "caRef": {"kind": "Secret", "name": "smarthost-ca", "key": "ca.crt"},
            },
            "credentialsSecretRef": {"name": "smarthost"},
        }
        begin = mx.apply(**route(smtp=smtp))
        described = shows(mx, "route onward: AUTH: 535", begin)
        mx.wait()
        assert mx.condition("DestinationsReachable")["reason"] == "Misconfigured"
        assert put_off(mx)

        before = mx.starts()
        begin = put(mx, "Secret", "smarthost", username=USER, password=PASSWORD)
        shows(mx, "the destinations of all routes answer", begin, SECRET_SECONDS)
        send(mx.service(), "anna@example.org", "by-smtp")
        [message] = postfix.arrived("anna", b"by-smtp")
        assert b"with ESMTPSA" in message
        assert mx.starts() == before

        for said in (described, *logs_of(mx)):
            assert WRONG not in said
            assert PASSWORD not in said


def logs_of(mx: Gateway) -> list[str]:
    return [mx.node.logs(mx.namespace, pod["metadata"]["name"]) for pod in mx.pods()]
