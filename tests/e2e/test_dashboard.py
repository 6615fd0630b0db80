"""The dashboard that the chart brings: each of its queries, asked of a real Prometheus that scrapes real pods."""

import json
import os
import smtplib
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from tests.e2e.machine import HOST
from tests.e2e.mail import PASSWORD, USER
from tests.e2e.release import NAME, SYSTEM, Gateway, Release, connect, gateway, send
from tests.kube.cluster import ROOT
from tests.ports import free_port

DASHBOARD = json.loads((ROOT / "helm/mailport/files/dashboard.json").read_text())
QUERIES = {
    f"{panel['title']}: {target['expr']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", ())
}
# A destination that keeps connections, and is not there
ELSEWHERE = {"name": "elsewhere", "recipients": ["*@example.com"], "deliver": {"lmtp": {"host": HOST, "port": 1}}}
ROUTES = [
    {"name": "mailboxes", "recipients": ["*@example.org"], "deliver": {"maildir": {"claimName": "mail"}}},
    ELSEWHERE,
]
VARIABLES = {"$__rate_interval": "1m", "$namespace": ".*", "$gateway": ".*"}
SECONDS = 60  # until every query has an answer: a rate takes two scrapes


@pytest.fixture(scope="module")
def ask(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], list[Any]]]:
    """A Prometheus that scrapes what the PodMonitor and the ServiceMonitor select, with mail to count."""
    folder = tmp_path_factory.mktemp("prometheus")
    address = f"127.0.0.1:{free_port()}"
    with gateway(release.node, folder / "mail") as mx, (folder / "log").open("wb") as log:
        mx.apply(
            tls={"certificateRefs": [{"name": "mx-tls"}]},
            auth={"htpasswd": {"secretRef": {"name": "mx-users"}}},
            checks={},
            routes=ROUTES,
        )
        mx.wait()
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration(mx)))
        command = [
            *("setpriv", "--pdeathsig", "KILL", "--", "prometheus", f"--config.file={folder / 'prometheus.yml'}"),
            *(f"--web.listen-address={address}", f"--storage.tsdb.path={folder / 'data'}"),
        ]
        prometheus = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            ask = asker(address)
            # The first scrape comes before what is counted, so that it is seen to grow
            release.node.wait_for("pods are scraped", lambda: len(scraped(ask)) == 3, SECONDS)
            make_traffic(mx)
            yield ask
        finally:
            prometheus.terminate()
            prometheus.wait()


def configuration(mx: Gateway) -> dict[str, Any]:
    """Return what the chart's monitors come to for these pods: Debian's Prometheus knows no Kubernetes."""
    found = [(pod, {"container": "operator"}) for pod in mx.node.pods(SYSTEM, "app.kubernetes.io/component=operator")]
    found += [(pod, {"container": "listener", "gateway": NAME}) for pod in mx.pods()]
    targets = [
        {
            "targets": [f"{pod['status']['podIP']}:8080"],
            "labels": {"namespace": pod["metadata"]["namespace"], "pod": pod["metadata"]["name"], **labels},
        }
        for pod, labels in found
    ]
    jobs = [{"job_name": "pods", "honor_labels": True, "static_configs": targets}]
    return {"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}


def asker(address: str) -> Callable[[str], list[Any]]:
    def ask(query: str) -> list[Any]:
        url = f"http://{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return list(json.load(response)["data"]["result"])
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 503:  # it starts
                    return []
                raise AssertionError(error.read().decode()) from error
        except OSError:
            return []  # it has not even begun

    return ask


def scraped(ask: Callable[[str], list[Any]]) -> list[Any]:
    return [each for each in ask("up") if each["value"][1] == "1"]


def make_traffic(mx: Gateway) -> None:
    """Have everything counted that the dashboard shows."""
    time.sleep(2)  # two scrapes before it
    send(mx.service(), "anna@example.org")
    with connect(mx.service()) as server:  # DMARC asks about the domain in From
        server.sendmail("sender@example.net", ["anna@example.org"], "From: sender@example.net\r\n\r\nhello\r\n")
    with connect(mx.service(), tls=True) as server:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            server.login(USER, "wrong")
        server.login(USER, PASSWORD)
        server.mail(USER)
        assert server.rcpt("nobody@example.net")[0] == 550
    closed = mx.folder / "example.org" / "closed"
    closed.mkdir()
    os.chown(closed, 0, 0)
    closed.chmod(0)
    with pytest.raises(smtplib.SMTPResponseException, match="451"):
        send(mx.service(), "closed@example.org")
    mx.apply(
        tls={"certificateRefs": [{"name": "mx-tls"}]},
        auth={"htpasswd": {"secretRef": {"name": "mx-users"}}},
        checks={},
        messageSize={"advertised": "1Mi"},
        routes=ROUTES,
    )
    mx.wait()


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_query_has_an_answer(ask, query):
    """Not an error, and not nothing: a name or a label that is misspelt is nothing."""
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    deadline = time.monotonic() + SECONDS
    while not (answer := ask(query)):
        assert time.monotonic() < deadline, f"nothing: {query}"
        time.sleep(0.5)

    assert all(len(each["value"]) == 2 for each in answer)
    assert "$" not in query


def test_its_variables_have_choices(ask):
    """`label_values` of Grafana, as the query behind it."""
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = variable["query"]["query"].removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
            for name, value in VARIABLES.items():
                metric = metric.replace(name, value)

            assert {each["metric"].get(label) for each in ask(metric)} - {None, ""}, variable["name"]
