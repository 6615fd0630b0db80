"""In a pod, `serve --mounted`: a document that names another Secret waits for new pods, and nothing stops meanwhile."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailport.listener.hashes import hash_password
from tests.clients.driver import Driver
from tests.clients.programs import LOGIN, send, swaks
from tests.clients.test_secrets import SOON, answers, log_in, rename_over, serial_of, served_serial
from tests.serving import PASSWORD, USER, Serving, eventually, serving
from tests.tables import table

pytestmark = pytest.mark.slow

SPEC = {
    "listeners": [
        {"name": "smtp"},
        {"name": "submissions", "tls": {"mode": "Implicit"}},
        {"name": "always", "auth": {"mode": "Always"}},
    ],
    "tls": {"certificateRefs": [{"name": "tls"}]},
    "auth": {"htpasswd": {"secretRef": {"name": "users"}}},
}
OTHERS = {"tls": {"certificateRefs": [{"name": "new"}]}, "auth": {"htpasswd": {"secretRef": {"name": "new-users"}}}}


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Serving]:
    with serving(tmp_path, SPEC, "--mounted", "tls,users") as running:
        yield running


def test_other_secrets(pod: Serving) -> None:
    """The former ones serve on and are looked after, the rest is taken up, and /status says what is to come."""
    before = served_serial(pod.ports["submissions"])
    pod.change({**OTHERS, "limits": {"maxRecipients": 200}})
    status = pod.status()

    assert (status["restartRequired"], status["missing"], status["reloadError"]) == (True, [], None)
    assert pod.logged(level="warning", event="Secrets that this pod does not mount: new pods have them")
    assert pod.get("/readyz") == (200, "ok\n")
    assert served_serial(pod.ports["submissions"]) == before
    assert log_in(pod, PASSWORD).startswith("235 ")
    assert "LIMITS RCPTMAX=200" in swaks(pod.port, "--quit-after", "EHLO").output

    rename_over(pod.secret("tls"))
    renewed = serial_of((pod.secret("tls") / "tls.crt").read_bytes())
    eventually(lambda: served_serial(pod.ports["submissions"]) == renewed, "the former certificate, renewed", SOON)
    (pod.secret("users") / "htpasswd").write_text(f"{USER}:{hash_password('battery staple')}\n")
    eventually(lambda: log_in(pod, "battery staple").startswith("235 "), "the former users, changed", SOON)

    pod.secret("users").rename(pod.folder / "aside")  # it is not named any more: nobody misses it
    pod.change({"limits": {"maxRecipients": 300}})
    assert pod.status()["missing"] == []
    assert log_in(pod, "battery staple").startswith("235 ")

    (pod.folder / "aside").rename(pod.secret("users"))
    pod.change({**SPEC, "listeners": pod.spec["listeners"]})
    assert pod.status()["restartRequired"] is False


def test_another_key_of_the_same_secret(tmp_path: Path) -> None:
    """A pod mounts the keys that were named when it was made, and no others."""
    with serving(tmp_path, SPEC, "--mounted", "tls,Secret/users/htpasswd") as pod:
        pod.change({"auth": {"htpasswd": {"secretRef": {"name": "users", "key": "htpasswd-2027"}}}})

        assert (pod.status()["restartRequired"], pod.status()["missing"]) == (True, [])
        assert pod.get("/readyz") == (200, "ok\n")
        assert log_in(pod, PASSWORD).startswith("235 ")


HOOK = {"url": "http://127.0.0.1:9/"}


@pytest.mark.parametrize(
    "before, after, reply",
    table(
        {
            "a relay for users that becomes a webhook for all is no open relay": (
                {"clients": "Authenticated", "deliver": {"smtp": {"host": "127.0.0.1", "port": 9}}},
                {"deliver": {"webhook": HOOK | {"signingSecretRef": {"name": "hook", "key": "key"}}}},
                "451 4.3.0",
            ),
            "what was refused is a fault of the set-up until the pod mounts what it needs": (
                {"deliver": {"refuse": {}}},
                {"deliver": {"webhook": HOOK | {"signingSecretRef": {"name": "hook", "key": "key"}}}},
                "451 4.3.0",
            ),
            "nothing is delivered to the former place": (
                {"deliver": {"webhook": HOOK | {"url": "http://127.0.0.1:10/"}}},
                {"deliver": {"webhook": HOOK | {"signingSecretRef": {"name": "hook", "key": "key"}}}},
                "451 4.3.0",
            ),
            "the same place is delivered to as before": (
                {"deliver": {"webhook": HOOK}},
                {"deliver": {"webhook": HOOK | {"signingSecretRef": {"name": "hook", "key": "key"}}}},
                "250 2.1.5",
            ),
        }
    ),
)
def test_a_route_whose_secret_is_not_mounted(tmp_path: Path, before: dict, after: dict, reply: str) -> None:
    """The same name is not the same destination: one that would deliver elsewhere does not deliver."""
    route = {"name": "mail", "recipients": ["*@example.org"]}
    spec = {**SPEC, "routes": [route | before]}
    with serving(tmp_path, spec, "--mounted", "tls,users", "--allow-local-destinations") as pod:
        pod.change({"routes": [route | after]})

        assert pod.status()["restartRequired"] is True
        with Driver(pod.port) as client:
            client.start()
            client.say("MAIL FROM:<a@example.net>")
            assert client.say("RCPT TO:<b@example.org>").startswith(reply)


def test_what_a_pod_had_none_of(tmp_path: Path) -> None:
    """The first certificate and the first users: until there are new pods the ports go on in clear, and ready."""
    with serving(tmp_path, {"listeners": [{"name": "smtp"}]}, "--mounted=") as pod:
        listener = {**pod.spec["listeners"][0], "tls": {"mode": "StartTLSRequired"}, "auth": {"required": True}}
        pod.change({**OTHERS, "listeners": [listener]})

        assert pod.status()["restartRequired"] is True
        assert pod.get("/readyz") == (200, "ok\n")
        send(pod.port)
        assert "STARTTLS" not in swaks(pod.port, "--quit-after", "EHLO").output


def test_a_pod_that_starts_anew(tmp_path: Path) -> None:
    """It has no former users: it is not ready and says 454; the certificate that it mounts it serves with."""
    spec = {**SPEC, "tls": {"certificateRefs": [{"name": "tls"}, {"name": "new"}]}, "auth": OTHERS["auth"]}
    with serving(tmp_path, spec, "--mounted", "tls,users", ready=False) as pod:
        eventually(lambda: answers(pod), "the admin port")
        assert pod.get("/readyz") == (503, "the users have not been loaded\n")
        assert (pod.status()["restartRequired"], pod.status()["missing"]) == (True, [])
        assert log_in(pod, PASSWORD) == "454 4.7.0 temporary authentication failure"
        assert served_serial(pod.ports["submissions"]) == serial_of((pod.secret("tls") / "tls.crt").read_bytes())


def test_a_secret_that_is_mounted_and_not_there(tmp_path: Path) -> None:
    """It is missing, and heals when it comes: an optional volume."""
    spec = {**SPEC, "auth": {"htpasswd": {"secretRef": {"name": "late-users"}}}}
    with serving(tmp_path, spec, "--mounted", "tls,late-users", ready=False) as pod:
        eventually(lambda: answers(pod), "the admin port")
        assert [one["name"] for one in pod.status()["missing"]] == ["late-users"]
        assert pod.status()["restartRequired"] is False
        pod.secret("users").rename(pod.secret("late-users"))
        eventually(lambda: pod.get("/readyz") == (200, "ok\n"), "ready", SOON)
        assert swaks(pod.port, "-tls", "--auth", "PLAIN", *LOGIN).ok


def test_on_a_laptop_another_secret_is_another(tmp_path: Path) -> None:
    """Without --mounted, what is named and not there is missing: nobody logs in with the former one's passwords."""
    with serving(tmp_path, SPEC) as gateway, Driver(gateway.ports["always"]) as waiting:
        waiting.start()
        gateway.change({"auth": {"htpasswd": {"secretRef": {"name": "others"}}}})

        assert [one["name"] for one in gateway.status()["missing"]] == ["others"]
        assert gateway.status()["restartRequired"] is False
        assert gateway.get("/readyz") == (503, "the users have not been loaded\n")
        message = b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
        assert waiting.say(f"AUTH PLAIN {message}") == "454 4.7.0 temporary authentication failure"
        assert log_in(gateway, PASSWORD) == "454 4.7.0 temporary authentication failure"

        gateway.change({"auth": {"htpasswd": {"secretRef": {"name": "users", "key": "passwd"}}}})
        assert log_in(gateway, PASSWORD) == "454 4.7.0 temporary authentication failure"  # another key is another file
        gateway.change({"tls": {"certificateRefs": [{"name": "other-tls"}]}})
        with Driver(gateway.ports["submissions"]) as implicit:
            assert implicit.reply() == ""
        with Driver(gateway.port) as client:
            assert client.start().say("STARTTLS").startswith("454 4.7.0 ")

        gateway.change({"tls": SPEC["tls"], "auth": None, "listeners": gateway.spec["listeners"][:1]})
        gateway.secret("tls").rename(gateway.folder / "aside")
        gateway.change({"tls": None})
        gateway.change({"tls": SPEC["tls"]})
        assert gateway.get("/readyz") == (503, "a certificate has not been loaded\n")  # what was not named is forgotten
