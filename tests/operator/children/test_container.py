"""The container's own command line, on its own mounts: a folder stands in for the kubelet, nothing else is changed."""

import dataclasses
import os
import re
import smtplib
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from mailport.__main__ import _parser
from mailport.contract.references import references
from mailport.operator.children import configuration
from tests.operator.making import CORPUS, GIVEN, by_kind, gateway, maildir, read
from tests.serving import HOSTNAME, Serving, eventually, free_port, write_secrets


def parsed(made, address="192.0.2.1", given=GIVEN):
    """Read the container's arguments as the command does."""
    container = by_kind(made, given)["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    arguments = [argument.replace("$(POD_IP)", address) for argument in container["args"]]
    assert not any("$" in argument for argument in arguments)
    return _parser().parse_args(arguments)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_the_arguments_are_ones_that_serve_has(path):
    """With values that it takes, whichever family the pod's address is of."""
    made = read(path)

    assert parsed(made).admin == ("192.0.2.1", made.spec.pod.admin_port)
    assert parsed(made, "2001:db8::1").admin == ("2001:db8::1", made.spec.pod.admin_port)
    assert parsed(made).shutdown_delay == made.spec.limits.shutdown_delay_seconds
    assert parsed(made).mounted == {key for reference in references(made.spec) for key in reference.mounts}
    assert parsed(made).scratch == Path("/tmp")
    assert parsed(made).scratch_limit == made.spec.pod.scratch_size * 9 // 10
    assert parsed(made).mailbox_limit in (0, made.spec.pod.mailbox_size * 9 // 10)


def test_the_longest_delay_is_one_that_serve_takes():
    """300 seconds, in the model and on the command line."""
    assert parsed(gateway(limits={"shutdownDelaySeconds": 300})).shutdown_delay == 300


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("denied", [(), ("10.0.0.0/8", "2001:db8::/32")])
def test_the_listener_is_told_where_connections_may_go(local, denied):
    """As the operator was; where that was told nothing, the listener's own default holds, which is closed."""
    told = parsed(gateway(), given=dataclasses.replace(GIVEN, local_destinations=local, denied_destinations=denied))

    assert (told.allow_local_destinations, told.deny_destinations) == (local, denied)


def test_a_listener_of_format_1_connects_to_nothing_and_is_told_nothing():
    """It would not know the options, and not start."""
    given = dataclasses.replace(GIVEN, listener_format=1, local_destinations=True, denied_destinations=("10.0.0.0/8",))
    container = by_kind(gateway(), given)["Deployment"]["spec"]["template"]["spec"]["containers"][0]

    assert (
        container["args"]
        == by_kind(gateway(), dataclasses.replace(GIVEN, listener_format=1))["Deployment"]["spec"]["template"]["spec"][
            "containers"
        ][0]["args"]
    )


def lay_down(root, rendered, secrets):
    """Do what the kubelet does with the volumes that are used here."""
    pod = rendered["Deployment"]["spec"]["template"]["spec"]
    sources = {volume["name"]: volume for volume in pod["volumes"]}
    for mount in pod["containers"][0]["volumeMounts"]:
        place = Path(f"{root}{mount['mountPath']}")
        place.mkdir(parents=True)
        match sources[mount["name"]]:
            case {"configMap": {"name": name}}:
                assert name == rendered["ConfigMap"]["metadata"]["name"]
                for key, value in rendered["ConfigMap"]["data"].items():
                    (place / key).write_text(value)
            case {"secret": {"secretName": name, "items": items}}:
                for item in items:
                    (place / item["path"]).write_bytes((secrets / name / item["key"]).read_bytes())
            case volume:
                assert "emptyDir" in volume


@contextmanager
def running(root, rendered):
    container = rendered["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    arguments = [
        re.sub(r"=(/(?:etc|var|tmp))", rf"={root}\1", argument).replace("$(POD_IP)", "127.0.0.1")
        for argument in container["args"]
    ]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    admin = ports.pop("admin")
    assert container["command"] == ["mailport"]
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mailport", *arguments],
            stderr=log,
            env={"PATH": os.environ["PATH"], "KUBERNETES_SERVICE_HOST": "10.96.0.1", "PYTHONWARNINGS": "error"},
        )
    try:
        yield Serving(process, root, ports, admin, {}), container
    finally:
        process.kill()
        process.wait()


def probe(serving, request):
    """Ask as the kubelet does."""
    assert request["port"] == "admin"
    try:
        return serving.get(request["path"])[0]
    except OSError:
        return 0


@pytest.mark.slow
def test_the_container_serves_what_was_rendered(tmp_path):
    """Its probes succeed, the hash is the one we compute, nothing is missing, and mail lands on the volume for it."""
    port, admin = free_port(), free_port()
    made = gateway(
        hostname=HOSTNAME,
        listeners=[{"name": "smtp", "port": port}],
        tls={"certificateRefs": [{"name": "tls"}]},
        auth={"htpasswd": {"secretRef": {"name": "users"}}},
        limits={"shutdownDelaySeconds": 0},
        pod={"adminPort": admin},
        routes=[maildir("people", None)],
    )
    rendered = by_kind(made)
    write_secrets(tmp_path / "cluster")
    lay_down(tmp_path, rendered, tmp_path / "cluster")
    with running(tmp_path, rendered) as (serving, container):
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            request = container[name]["httpGet"]
            eventually(lambda request=request: probe(serving, request) == 200, request["path"])
        status = serving.status()

        assert status["hash"] == configuration.digest(configuration.render(made, configuration.FORMAT))
        assert status["generation"] == made.metadata.generation
        assert status["missing"] == []
        with smtplib.SMTP("127.0.0.1", port) as client:
            client.sendmail("someone@example.net", ["anna@people.example.org"], b"Subject: hello\r\n\r\nhello\r\n")
        assert list((tmp_path / "var/lib/mailport/mail/default/people.example.org/anna/new").iterdir())
        assert serving.stop() == 0


@pytest.mark.slow
def test_without_its_secrets_it_starts_and_is_not_ready(tmp_path):
    """As with volumes that are optional and empty: /status names each, with the field that asks for it."""
    made = gateway(
        listeners=[{"name": "smtp", "port": free_port()}],
        tls={"certificateRefs": [{"name": "tls"}]},
        pod={"adminPort": free_port()},
    )
    rendered = by_kind(made)
    for volume in rendered["Deployment"]["spec"]["template"]["spec"]["volumes"]:
        volume.get("secret", {})["items"] = []
    lay_down(tmp_path, rendered, tmp_path)
    with running(tmp_path, rendered) as (serving, container):
        alive, ready = (container[name]["httpGet"] for name in ("livenessProbe", "readinessProbe"))
        eventually(lambda: probe(serving, alive) == 200, "alive")

        assert probe(serving, ready) == 503
        assert {(one["name"], one["field"]) for one in serving.status()["missing"]} == {
            ("tls", "spec.tls.certificateRefs[0]")
        }
