"""deploy/name-references: names that kustomize makes, in the InboundSmtps that name them."""

import re
import shutil
import subprocess

import pytest
import yaml

from mailport.contract import documents
from mailport.contract.references import references
from tests.operator.making import ROOT

GENERATED = re.compile(r"team-[a-z0-9.-]+-[a-z0-9]{10}")
CLAIM = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "mail"}}
ACCOUNT = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "mx-workload"}}


def built(kubectl, folder, name):
    """Build a kustomization of a document of the corpus, with all that it names generated and a prefix before it."""
    document = ROOT / f"tests/corpus/good/{name}.yaml"
    made = documents.load([(document.name, document.read_bytes())]).gateway
    named = {(each.kind, each.name) for each in references(made.spec)} | set(of_the_pod(made.spec.pod))
    shutil.copytree(ROOT / "deploy/name-references", folder / "name-references")
    shutil.copy(document, folder / "mx.yaml")
    (folder / "others.yaml").write_text(yaml.safe_dump_all([CLAIM, ACCOUNT]))
    generators = {
        f"{kind[0].lower()}{kind[1:]}Generator": [
            {"name": each, "literals": ["a=b"]} for of, each in sorted(named) if of == kind
        ]
        for kind in ("Secret", "ConfigMap")
    }
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "components": ["name-references"],
        "resources": ["mx.yaml", "others.yaml"],
        "namePrefix": "team-",
        "namespace": "mail",
        **generators,
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = (each for each in yaml.safe_load_all(done.stdout) if each["kind"] == "InboundSmtp")
    return documents.load([("built", yaml.safe_dump(found).encode())]).gateway.spec


def of_the_pod(pod):
    """Yield what spec.pod names: kind and name."""
    yield from (("Secret", each.name) for each in pod.image_pull_secrets)
    for source in (each.value_from for each in pod.env if each.value_from):
        if source.secret_key_ref:
            yield "Secret", source.secret_key_ref.name
        if source.config_map_key_ref:
            yield "ConfigMap", source.config_map_key_ref.name
    for volume in pod.volumes:
        if volume.secret:
            yield "Secret", volume.secret["secretName"]
        if volume.config_map:
            yield "ConfigMap", volume.config_map["name"]
        for source in volume.projected.sources if volume.projected else ():
            yield from (("Secret", source.secret["name"]) for _ in range(bool(source.secret)))
            yield from (("ConfigMap", source.config_map["name"]) for _ in range(bool(source.config_map)))


@pytest.mark.parametrize("name", ["contract", "pod-additions", "certificates-by-sni"])
def test_every_generated_name_is_in_the_inboundsmtp(kubectl, tmp_path, name):
    """Of Secrets and ConfigMaps, wherever a field names one."""
    spec = built(kubectl, tmp_path, name)
    names = [each.name for each in references(spec)] + [each for _, each in of_the_pod(spec.pod)]

    assert names
    assert [each for each in names if not GENERATED.fullmatch(each)] == []


def test_claims_and_accounts_are_followed_too(kubectl, tmp_path):
    """With the prefix that the kustomization has."""
    spec = built(kubectl, tmp_path, "contract")
    claims = [route.deliver.maildir.claim_name for route in spec.routes if route.deliver.maildir]

    assert claims == ["team-mail"]
    assert spec.pod.service_account_name == "team-mx-workload"
