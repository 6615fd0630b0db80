"""A release comes, changes and goes, on a real API server; no pods run here."""

import json
import shutil

import pytest
import yaml

from mailport.operator.kinds import INBOUND_SMTP
from tests.chart.charts import CHART, NAMESPACE, ON_THE_NODES, RefusedError, documents, place
from tests.operator.making import MINIMAL

CRD = "crd/inboundsmtps.mailport.dev"
VALUES = ("--set=networkPolicy.enabled=true",)


class Release:
    """A release by name."""

    def __init__(self, helm, cluster, name):
        self.name = name
        self._helm, self._cluster = helm, cluster

    def run(self, verb, *arguments):
        connection = (f"--kubeconfig={self._cluster.kubeconfig}", f"--namespace={NAMESPACE}")
        settings = (ON_THE_NODES,) if verb in ("install", "upgrade") else ()
        return self._helm.run(verb, self.name, *arguments, *settings, *connection)

    def there(self):
        """Name the objects that are there of those that the chart renders."""
        wanted = self._helm.render(*VALUES, "--no-hooks", release=self.name)
        return {place(each) for each in wanted if exists(self._cluster, each)}


def exists(cluster, manifest):
    kind, namespace, name = place(manifest)
    group = manifest["apiVersion"].rpartition("/")[0]
    what = (f"{kind}.{group}" if group else kind, name)
    scope = (f"--namespace={namespace}",) if namespace else ()
    return bool(cluster.kubectl("get", *what, *scope, "--ignore-not-found", "-o", "name"))


@pytest.fixture
def release(helm, cluster):
    """One that is gone afterwards, with the CustomResourceDefinition."""
    release = Release(helm, cluster, "mailport")
    yield release
    release.run("uninstall", "--ignore-not-found")
    cluster.kubectl("delete", CRD, "--ignore-not-found")


def crd_is_there(cluster):
    return bool(cluster.kubectl("get", CRD, "--ignore-not-found", "-o", "name"))


def resource_versions(cluster, text):
    got = json.loads(cluster.kubectl("get", "-o", "json", "-f", "-", stdin=text))
    return {place(each): each["metadata"]["resourceVersion"] for each in got["items"]}


def test_install_upgrade_and_uninstall(helm, cluster, release):
    """All comes, an upgrade to the same writes nothing, and in the end mail goes on: the InboundSmtps stay."""
    text = helm.text(*VALUES, "--no-hooks")
    wanted = {place(each) for each in documents(text)}
    release.run("install", CHART, *VALUES)
    cluster.wait_for("InboundSmtps are served", lambda: cluster.ask("GET", INBOUND_SMTP.path(None)).accepted)
    namespace = cluster.new_namespace()
    document = {
        "apiVersion": INBOUND_SMTP.api_version,
        "kind": INBOUND_SMTP.name,
        "metadata": {"name": "mx"},
        "spec": MINIMAL,
    }
    cluster.ask("POST", INBOUND_SMTP.path(namespace), document).expect_accepted()

    assert release.there() == wanted
    before = resource_versions(cluster, text)
    release.run("upgrade", CHART, *VALUES)
    assert resource_versions(cluster, text) == before
    release.run("upgrade", CHART, *VALUES, "--set=replicas=3")
    changed = {key for key, version in resource_versions(cluster, text).items() if version != before[key]}
    assert changed == {("Deployment", NAMESPACE, "mailport-operator")}

    release.run("uninstall")
    assert {kind for kind, _, _ in release.there()} == {"CustomResourceDefinition"}
    assert cluster.ask("GET", INBOUND_SMTP.path(namespace, "mx")).accepted

    release.run("install", CHART, *VALUES)  # the same name in the same namespace takes up what it left
    assert release.there() == wanted


def test_an_upgrade_takes_new_defaults_and_keeps_what_was_set(cluster, release, tmp_path):
    """By --reset-then-reuse-values, as the README has it; what it says of the other ways is so."""
    older = shutil.copytree(CHART, tmp_path / "mailport")
    without(older / "values.yaml", "defaults")
    without(older / "values.schema.json", "required")
    release.run("install", older, "--set=replicas=3")

    with pytest.raises(RefusedError, match="missing property 'defaults'"):
        release.run("upgrade", CHART, "--reuse-values")
    release.run("upgrade", CHART, "--reset-then-reuse-values")
    assert replicas(cluster) == 3
    release.run("upgrade", CHART)
    assert replicas(cluster) == 2


def without(file, key):
    """Take a key out of a file, as it was before there was one."""
    content = yaml.safe_load(file.read_text())
    del content[key]
    file.write_text(json.dumps(content))


def replicas(cluster):
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/mailport-operator"
    return cluster.ask("GET", path).expect_accepted().body["spec"]["replicas"]


def test_a_kept_definition_belongs_to_the_release_that_made_it(helm, cluster, release):
    """Another one is told so, and may take it over, or leave it alone."""
    release.run("install", CHART)
    release.run("uninstall")
    other = Release(helm, cluster, "smtp")
    try:
        with pytest.raises(RefusedError, match=r"inboundsmtps.mailport.dev.+invalid ownership metadata"):
            other.run("install", CHART)
        other.run("install", CHART, "--set=crds.install=false")
        other.run("uninstall")
        other.run("install", CHART, "--take-ownership")
    finally:
        other.run("uninstall", "--ignore-not-found")

    assert crd_is_there(cluster)


def test_the_definition_goes_with_the_release_where_that_is_wanted(cluster, release):
    """And with it all InboundSmtps: hence not by default."""
    release.run("install", CHART, "--set=crds.keep=false")
    release.run("uninstall", "--wait")

    assert not crd_is_there(cluster)
