"""What `helm test` runs: applies an InboundSmtp, waits until it is ready, sends it a message, cleans up.

In a pod of Mailport's image: python3 send_a_message.py NAMESPACE NAME HOST:PORT SECONDS POD

PORT is the listener's too.

POD is what the cluster asks of pods beyond SPEC, as JSON: fields of the InboundSmtp's spec.pod.

The image has no kubectl, so the API server is asked over HTTP, as the pod's ServiceAccount.
"""  # noqa: INP001 - a script: a ConfigMap's one file

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

CREDENTIALS = Path("/var/run/secrets/kubernetes.io/serviceaccount")
REQUEST_SECONDS = 10
PAUSE_SECONDS = 1

KIND = {"apiVersion": "mailport.dev/v1alpha1", "kind": "InboundSmtp"}
SPEC: dict[str, Any] = {
    "hostname": "mx.example.org",
    "routes": [{"name": "nowhere", "recipients": ["*@example.org"], "deliver": {"discard": {}}}],
    "replicas": 1,
    "pod": {"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}}},
}


class Failed(Exception):  # noqa: N818 - what the test has
    """Why, in one line."""


def main(namespace: str, name: str, server: str, seconds: str, pod: str) -> int:
    """Return 0 where the message was taken."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of what follows `finally`
    deadline = time.monotonic() + float(seconds)
    gateways = f"/apis/{KIND['apiVersion']}/namespaces/{namespace}/inboundsmtps"
    mine = f"{gateways}/{name}"
    try:
        remove(mine, deadline)  # of a test that was killed
        ask("POST", gateways, {**KIND, "metadata": {"name": name}, "spec": gateway(server, json.loads(pod))})
        say(f"applied InboundSmtp {namespace}/{name}")
        try:
            wait_until_ready(mine, deadline)
            send(server, deadline)
        finally:
            remove(mine, time.monotonic() + REQUEST_SECONDS)
            say("deleted it again")
    except Failed as why:
        say(f"failed: {why}")
        return 1
    return 0


def gateway(server: str, pod: dict[str, Any]) -> dict[str, Any]:
    """Return the InboundSmtp's spec."""
    port = int(server.rpartition(":")[2])
    return {**SPEC, "listeners": [{"name": "smtp", "port": port}], "pod": {**SPEC["pod"], **pod}}


def wait_until_ready(path: str, deadline: float) -> None:
    """Wait for the condition Ready of the generation that was applied."""
    said = ""
    while True:
        found = ask("GET", path)
        before, said = said, condition(found)
        if said != before:
            say(said)
        if said.startswith("Ready=True"):
            return
        if time.monotonic() > deadline:
            raise Failed(f"not ready in time; last seen: {said}. Does the operator run, and can nodes pull its image?")
        time.sleep(PAUSE_SECONDS)


def condition(found: dict[str, Any]) -> str:
    """Say what the operator wrote of this generation."""
    for each in found.get("status", {}).get("conditions", ()):
        if each["type"] == "Ready" and each.get("observedGeneration") == found["metadata"]["generation"]:
            return f"Ready={each['status']}, {each['reason']}: {each['message']}"
    return "no status yet"


def send(server: str, deadline: float) -> None:
    """Send a message; nodes may take a moment to learn of a new Service."""
    command = ["mailport", "send", "--server", server, "--to", "test@example.org", "--from", "helm-test@example.org"]
    while True:
        # each word is ours or the chart's
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)  # noqa: S603
        if done.returncode == 0:
            say(done.stdout.rstrip())
            return
        if time.monotonic() > deadline:
            raise Failed(f"not taken in time; last seen: {done.stdout.rstrip()}")
        time.sleep(PAUSE_SECONDS)


def remove(path: str, deadline: float) -> None:
    """Delete the InboundSmtp, and wait until it is gone; what it owns goes with it."""
    while ask("DELETE", path, missing=True):
        if time.monotonic() > deadline:
            raise Failed(f"{path} does not go away")
        time.sleep(PAUSE_SECONDS)


def ask(method: str, path: str, body: dict[str, Any] | None = None, *, missing: bool = False) -> dict[str, Any]:
    """Ask the API server; `missing` says that an object that is not there is an empty answer."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    url = f"https://{f'[{host}]' if ':' in host else host}:{port}{path}"
    headers = {"Authorization": f"Bearer {(CREDENTIALS / 'token').read_text()}", "Content-Type": "application/json"}
    content = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, content, headers, method=method)
    context = ssl.create_default_context(cafile=str(CREDENTIALS / "ca.crt"))
    try:
        # https, as written above
        with urllib.request.urlopen(request, timeout=REQUEST_SECONDS, context=context) as response:  # noqa: S310
            answer: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as error:
        if error.code == 404 and missing:
            return {}
        raise Failed(f"{method} {path}: {error.code} {error.read(2000).decode(errors='replace')}") from error
    except OSError as error:
        raise Failed(f"{method} {path}: {error}") from error
    return answer


def say(text: str) -> None:
    """Print at once: the pod's log is read while it runs."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
