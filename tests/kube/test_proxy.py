"""An operator whose way to the API server is a proxy, or must not be: by the rules that Go's programs go by.

The proxy is the test's own, for only so does it know a name that nobody else does.
"""

import json
import os
import socket
import threading
from contextlib import contextmanager, suppress

import pytest

from tests.kube.gateways import Gateways
from tests.kube.operating import OPERATOR, Operator, stopped_at_the_end

NAME = "api.only-the-proxy-knows.example"


class Proxy:
    """An HTTP proxy that does CONNECT (RFC 9110 §9.3.6), to the API server whatever the name."""

    def __init__(self, to):
        self._to = to
        self.asked = []  # the first line of each request
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._run, daemon=True).start()

    def close(self):
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _run(self):
        with suppress(OSError):  # it is closed
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1)
        self.asked.append(head.partition(b"\r\n")[0].decode())
        server = socket.create_connection(self._to)
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=pass_on, args=(server, client), daemon=True)
        back.start()
        pass_on(client, server)
        back.join()
        client.close()
        server.close()


def pass_on(source, target):
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy(rights):
    host, port = rights.url.removeprefix("https://").split(":")
    proxy = Proxy((host, int(port)))
    yield proxy
    proxy.close()


def kubeconfig(rights, **cluster):
    """The operator's, with other facts of the cluster."""
    path = rights.kubeconfig_of(OPERATOR)
    config = json.loads(path.read_text())
    config["clusters"][0]["cluster"] |= cluster
    other = path.with_name("by-a-proxy.kubeconfig")
    other.write_text(json.dumps(config))
    return other


@contextmanager
def operating(rights, folder, config, **environment):
    operator = Operator(rights, OPERATOR, folder=folder, kubeconfig=config)
    operator._environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    operator._environment |= {"KUBECONFIG": str(config), **environment}
    with stopped_at_the_end(operator):
        yield operator.start()
        assert operator.stop() == 0


def check_it_watches(rights):
    """By its watch: a list would take minutes."""
    gateways = Gateways(rights, rights.new_namespace())
    for replicas in (1, 2):
        gateways.apply(replicas=replicas)
        gateways.until_rendered(seconds=10)
    gateways.delete_all()


def test_a_name_that_only_the_proxy_knows(rights, proxy, tmp_path):
    """Lists, writes and watches all go by it."""
    port = rights.url.rpartition(":")[2]
    config = kubeconfig(rights, server=f"https://{NAME}:{port}", **{"insecure-skip-tls-verify": True})
    text = json.loads(config.read_text())
    del text["clusters"][0]["cluster"]["certificate-authority"]  # of which the name is not in the certificate
    config.write_text(json.dumps(text))
    with operating(rights, tmp_path, config, HTTPS_PROXY=proxy.url, NO_PROXY="10.0.0.0/8,.svc"):
        check_it_watches(rights)

    assert set(proxy.asked) == {f"CONNECT {NAME}:{port} HTTP/1.1"}
    assert len(proxy.asked) > 10, "each watch has a connection of its own"


def test_a_cidr_is_an_exception(rights, tmp_path):
    """A proxy that leads nowhere, as one does that is for the outside: nothing may go there."""
    with operating(rights, tmp_path, kubeconfig(rights), HTTPS_PROXY="http://127.0.0.1:9", NO_PROXY="127.0.0.0/8"):
        check_it_watches(rights)


def test_a_proxy_of_the_kubeconfig_is_used_whatever_the_environment_says(rights, proxy, tmp_path):
    """As kubectl does."""
    config = kubeconfig(rights, **{"proxy-url": proxy.url})
    with operating(rights, tmp_path, config, NO_PROXY="*"):
        check_it_watches(rights)

    assert len(proxy.asked) > 10
