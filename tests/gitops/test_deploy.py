"""deploy/ as its own head says that it is used."""

import re
import subprocess

import yaml

from tests.operator.making import ROOT

HEAD = (ROOT / "deploy/kustomization.yaml").read_text()
IMAGE = "registry.example.org/mailport:0.1.0"


def test_an_overlay_takes_the_image_from_elsewhere_everywhere(kubectl, tmp_path):
    """For the operator, for listeners, and in the policy that holds these to it."""
    overlay = re.search(r"^#   resources: .+?^#\n", HEAD, re.MULTILINE | re.DOTALL)[0]
    text = re.sub(r"^# {0,3}", "", overlay, flags=re.MULTILINE)
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    (tmp_path / "overlay").mkdir()
    (tmp_path / "overlay/kustomization.yaml").write_text(text)
    done = subprocess.run(
        [kubectl, "kustomize", tmp_path / "overlay"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    objects = list(yaml.safe_load_all(done.stdout))
    (container,) = find(objects, "Deployment", "mailport-operator")["spec"]["template"]["spec"]["containers"]
    environment = {each["name"]: each.get("value") for each in container["env"]}
    policy = find(objects, "ValidatingAdmissionPolicy", "mailport-operator-deployments.mailport-system")
    variables = {each["name"]: each["expression"] for each in policy["spec"]["variables"]}

    assert container["image"] == environment["MAILPORT_LISTENER_IMAGE"] == IMAGE
    assert variables["image"] == f"'{IMAGE}'"
    assert "mailport:0.1.0" not in done.stdout.replace(IMAGE, "")


def find(objects, kind, name):
    (found,) = (each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found
