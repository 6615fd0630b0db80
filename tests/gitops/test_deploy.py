"""deploy/ as its own head says that it is used."""

import re
import subprocess

import yaml

from tests.operator.making import ROOT

HEAD = (ROOT / "deploy/kustomization.yaml").read_text()
IMAGE = "registry.example.org/mailport:0.1.0"


OVERLAYS = [
    re.sub(r"^# {0,3}", "", found, flags=re.MULTILINE)
    for found in re.findall(r"^#   resources: .+?^#\n", HEAD, re.MULTILINE | re.DOTALL)
]


def built(kubectl, tmp_path, overlay):
    """What kustomize makes of one of the overlays, as text."""
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    (tmp_path / "overlay").mkdir()
    (tmp_path / "overlay/kustomization.yaml").write_text(overlay)
    done = subprocess.run(
        [kubectl, "kustomize", tmp_path / "overlay"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_overlay_takes_the_image_from_elsewhere_everywhere(kubectl, tmp_path):
    """For the operator, for listeners, and in the policy that holds these to it."""
    text = built(kubectl, tmp_path, OVERLAYS[0])
    objects = list(yaml.safe_load_all(text))
    (container,) = find(objects, "Deployment", "mailport-operator")["spec"]["template"]["spec"]["containers"]
    environment = {each["name"]: each.get("value") for each in container["env"]}
    policy = find(objects, "ValidatingAdmissionPolicy", "mailport-operator-deployments.mailport-system")
    variables = {each["name"]: each["expression"] for each in policy["spec"]["variables"]}

    assert container["image"] == environment["MAILPORT_LISTENER_IMAGE"] == IMAGE
    assert variables["image"] == f"'{IMAGE}'"
    assert "mailport:0.1.0" not in text.replace(IMAGE, "")


def test_an_overlay_takes_the_operator_to_another_namespace(kubectl, tmp_path):
    """Each policy holds the ServiceAccount that the operator has there."""
    objects = list(yaml.safe_load_all(built(kubectl, tmp_path, OVERLAYS[1])))
    (subject,) = find(objects, "ClusterRoleBinding", "mailport-operator.mailport-system")["subjects"]
    policies = [each for each in objects if each["kind"] == "ValidatingAdmissionPolicy"]
    held = {policy["spec"]["matchConditions"][0]["expression"] for policy in policies}
    user = f"system:serviceaccount:{subject['namespace']}:{subject['name']}"

    assert subject["namespace"] == "mail-operator"
    assert len(policies) == 8
    assert held == {f"request.userInfo.username == '{user}'"}


def find(objects, kind, name):
    (found,) = (each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found
