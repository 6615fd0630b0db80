"""The image in a pod: the children that `mailport render` prints, on a real node, without an operator."""

import smtplib
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.e2e import mail
from tests.e2e.machine import HOST, HOST_6, NODE, NODE_6
from tests.e2e.mail import HOSTNAME, PASSWORD, USER
from tests.e2e.node import Node
from tests.kube.cluster import ROOT
from tests.tables import table

READY_SECONDS = 60  # from `kubectl apply` to mail; it takes 3, and the machine may be busy
MEGABYTES = 100  # of what the image adds to its base
NAME = "mx"
GATEWAY = f"""\
apiVersion: mailport.dev/v1alpha1
kind: InboundSmtp
metadata:
  name: {NAME}
spec:
  hostname: {HOSTNAME}
  listeners:
  - name: smtp
    port: 25
    auth: {{mode: Never}}
  - name: submission
    port: 587
    auth: {{mode: SecureOnly, required: true}}
  tls:
    certificateRefs: [{{name: mx-tls}}]
  auth:
    htpasswd: {{secretRef: {{name: mx-users}}}}
  limits: {{shutdownDelaySeconds: 2, drainSeconds: 30}}
  service: {{type: NodePort}}
  routes:
  - name: mailboxes
    recipients: ["*@example.org"]
    deliver:
      maildir: {{claimName: mail}}
"""


@dataclass
class Gateway:
    """An InboundSmtp that is served on the node."""

    node: Node
    namespace: str
    folder: Path
    ready_seconds: float

    @property
    def pod(self) -> str:
        """The one pod that is not on its way out."""
        pods = self.node.pods(self.namespace, f"mailport.dev/inboundsmtp={NAME}")
        (name,) = [each["metadata"]["name"] for each in pods if "deletionTimestamp" not in each["metadata"]]
        return str(name)

    def service(self, port: int) -> tuple[str, int]:
        return self.node.cluster_ip(self.namespace, NAME), port

    def node_port(self, name: str, address: str = NODE) -> tuple[str, int]:
        return address, self.node.node_port(self.namespace, NAME, name)

    def messages(self, address: str) -> list[bytes]:
        return mail.messages(self.folder, address)

    def python(self, program: str) -> str:
        """Run a program in the container, which has no need of a shell."""
        return self.node.exec(self.namespace, self.pod, "python3", "-c", program)


@pytest.fixture(scope="module")
def gateway(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The children of GATEWAY, applied as a person would and ready."""
    folder = tmp_path_factory.mktemp("mail")
    rendered = subprocess.run(
        [sys.executable, "-m", "mailport", "render", "-f", "-", f"--listener-image={node.image}"],
        cwd=ROOT,
        input=GATEWAY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    with node.namespace() as namespace:
        mail.provide_volume(node, namespace, "mail", folder)
        begin = time.monotonic()
        node.apply(*mail.secrets(), rendered, namespace=namespace)
        node.wait_until_available(namespace, NAME, READY_SECONDS)
        yield Gateway(node, namespace, folder, time.monotonic() - begin)


def converse(server: smtplib.SMTP, recipient: str, text: str) -> None:
    """Send a message after STARTTLS. An error where anything of it is refused."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    server.starttls(context=context)
    assert server.sendmail(USER, [recipient], f"Subject: {text}\r\n\r\n{text}\r\n") == {}


def test_a_pod_takes_mail_seconds_after_it_is_applied(gateway):
    """In a namespace of the restricted standard, from an image that is there; the second figure is to the second."""
    pod = gateway.node.get("pod", gateway.pod, gateway.namespace)
    started = pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
    (ready,) = [each["lastTransitionTime"] for each in pod["status"]["conditions"] if each["type"] == "Ready"]
    seconds = (yaml.safe_load(ready) - yaml.safe_load(started)).total_seconds()
    gateway.node.say(f"from apply to ready: {gateway.ready_seconds:.1f} s; from a container's start: {seconds:.0f} s")

    assert gateway.ready_seconds < READY_SECONDS
    assert seconds <= READY_SECONDS


@pytest.mark.parametrize(
    "place, recipient",
    table(
        {
            "the Service's address": (lambda gateway: gateway.service(25), "service@example.org"),
            "the node port": (lambda gateway: gateway.node_port("smtp"), "port@example.org"),
            "the node port, over IPv6": (lambda gateway: gateway.node_port("smtp", NODE_6), "ipv6@example.org"),
        }
    ),
)
def test_a_message_lands_in_the_maildir_on_the_volume(gateway, place, recipient):
    """Whole, once, and there when 250 is said."""
    with smtplib.SMTP(*place(gateway), timeout=20) as server:
        converse(server, recipient, "hello")
        lying = gateway.messages(recipient)

    assert len(lying) == 1
    assert b"Subject: hello" in lying[0]
    assert lying[0].endswith(b"\nhello\n")


@pytest.mark.parametrize("node_address, own", [(NODE, f"[{HOST}]"), (NODE_6, f"[IPv6:{HOST_6}]")])
def test_through_the_node_port_the_clients_own_address_arrives(gateway, node_address, own):
    """With externalTrafficPolicy Local, the default: else access lists would see the node."""
    before = gateway.messages("carol@example.org")
    with smtplib.SMTP(*gateway.node_port("smtp", node_address), timeout=20) as server:
        converse(server, "carol@example.org", "hello")
    (message,) = (each for each in gateway.messages("carol@example.org") if each not in before)

    assert own.encode() in message


def test_users_of_the_secret_submit(gateway):
    """On the listener that requires it, and after STARTTLS; others are told to log in."""
    with smtplib.SMTP(*gateway.node_port("submission"), timeout=20) as server:
        with pytest.raises(smtplib.SMTPSenderRefused, match="530"):
            converse(server, "dave@example.org", "hello")
        server.login(USER, PASSWORD)
        server.sendmail(USER, ["dave@example.org"], "Subject: submitted\r\n\r\nhello\r\n")

    assert len(gateway.messages("dave@example.org")) == 1


def test_it_may_do_next_to_nothing(gateway):
    """A user of its own, no capability and no way to one, and nothing to write on but the volumes."""
    said = gateway.python(
        "import os\n"
        "for path in ('/', '/opt/mailport/lib', '/etc'):\n"
        "    try: open(f'{path}/written', 'w')\n"
        "    except OSError as error: print(error.strerror)\n"
        "print(os.getuid(), os.getgid())\n"
        "print(*(line for line in open('/proc/1/status').read().splitlines()"
        " if line.split(':')[0] in ('CapPrm', 'CapBnd', 'NoNewPrivs', 'Seccomp')))\n"
    ).splitlines()

    assert said[:3] == ["Read-only file system"] * 3
    assert said[3] == "10001 10001"
    assert said[4].split() == ["CapPrm:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2"]


def test_all_of_the_product_loads_and_is_compiled(gateway):
    """What the Dockerfile leaves out is needed by nothing; and no start compiles what it cannot keep."""
    said = gateway.python(
        "import importlib, pathlib, pkgutil, sys, mailport\n"
        "for module in pkgutil.walk_packages(mailport.__path__, 'mailport.'): importlib.import_module(module.name)\n"
        "ours = [m for m in sys.modules.values() if (getattr(m, '__file__', None) or '').startswith('/opt/mailport')]\n"
        "print(len(ours), *(m.__name__ for m in ours"
        " if m.__file__.endswith('.py') and not pathlib.Path(m.__cached__).exists()))\n"
    ).split()

    assert int(said[0]) > 300
    assert said[1:] == []


def test_the_image_stays_small(gateway):
    """What lies on top of the base, in bytes."""
    said = gateway.python(
        "import os\n"
        "print(sum(os.lstat(f'{folder}/{file}').st_size"
        " for folder, _, files in os.walk('/opt/mailport') for file in files))\n"
    )
    gateway.node.say(f"the image adds {int(said) / 1e6:.0f} MB to its base")

    assert int(said) < MEGABYTES * 1_000_000


def test_a_pod_that_is_deleted_finishes_what_it_has_begun(gateway):
    """SIGTERM: the open transaction gets its 250, the idle session its 421; and the exit status is 0."""
    node, namespace, pod = gateway.node, gateway.namespace, gateway.pod
    address = node.get("pod", pod, namespace)["status"]["podIP"]
    with node.kept(namespace, pod), closing(smtplib.SMTP(address)) as busy, closing(smtplib.SMTP(address)) as idle:
        busy.ehlo()
        idle.ehlo()
        busy.mail(USER)
        busy.rcpt("erin@example.org")
        busy.docmd("DATA")

        node.kubectl("delete", "pod", pod, f"--namespace={namespace}", "--wait=false")
        told = idle.getreply()
        busy.send("Subject: begun before\r\n\r\nand finished after\r\n.\r\n")
        replies = busy.getreply()[0], busy.getreply()[0]
        ended = node.wait_until_ended(namespace, pod)

    assert told[0] == 421
    assert replies == (250, 421)
    assert len(gateway.messages("erin@example.org")) == 1
    assert (ended["exitCode"], ended["reason"]) == (0, "Completed")


def test_a_rollout_to_another_image_refuses_nobody(gateway):
    """New connections all the while, by the Service's address: each is greeted, or told to come again."""
    node, namespace, place = gateway.node, gateway.namespace, gateway.service(25)
    node.wait_until_available(namespace, NAME, READY_SECONDS)
    before, other = gateway.pod, node.tag_image("e2e-next")
    greetings, over = [], threading.Event()

    def connect() -> None:
        while not over.wait(0.05):
            try:
                with socket.create_connection(place, 20) as connection:
                    greetings.append(connection.recv(3).decode())
            except OSError as error:
                greetings.append(repr(error))

    connecting = threading.Thread(target=connect)
    connecting.start()
    try:
        node.kubectl("set", "image", f"deployment/{NAME}", f"listener={other}", f"--namespace={namespace}")
        node.wait_until_available(namespace, NAME, READY_SECONDS)
        node.wait_for("the old pod is gone", lambda: before not in pods(gateway), 60)
    finally:
        over.set()
        connecting.join()
    node.say(f"{len(greetings)} connections during a rollout: {dict(Counter(greetings))}")

    assert node.get("pod", gateway.pod, namespace)["spec"]["containers"][0]["image"] == other
    assert "220" in greetings
    assert set(greetings) <= {"220", "421"}


def pods(gateway: Gateway) -> list[str]:
    return [each["metadata"]["name"] for each in gateway.node.pods(gateway.namespace)]
