"""The chart as a whole: what it is made of, and that it fits the rest of the repository."""

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from mailport import __version__
from mailport.__main__ import _parser
from mailport.operator.admit import permitted
from tests.chart.charts import CHART, ON_THE_NODES, RELEASE, VALUES, RefusedError, documents, find, place
from tests.kube.cluster import CRD, ROOT
from tests.tables import table

CHART_YAML = yaml.safe_load((CHART / "Chart.yaml").read_text())
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def test_it_has_the_version_of_the_project():
    """One version: `helm install` takes the image of the same."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert (CHART_YAML["version"], CHART_YAML["appVersion"]) == (project["version"], project["version"])


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_helm_finds_nothing_to_complain_of(helm, values):
    """Strictly, so that a warning is an error."""
    assert "0 chart(s) failed" in helm.run("lint", "--strict", CHART, ON_THE_NODES, f"--values={values}")


@pytest.mark.parametrize("copy", [CHART / "files/inboundsmtp.yaml", ROOT / "deploy/inboundsmtp.yaml"], ids=str)
def test_its_crd_is_the_one_in_crds(copy):
    """`make chart` copies it."""
    assert copy.read_bytes() == CRD.read_bytes()


@pytest.mark.usefixtures("helm")
@pytest.mark.parametrize("name", ["operator", "admission-policy"])
def test_deploy_is_what_the_chart_renders(name):
    """`make chart` writes it."""
    printed = subprocess.run(
        [ROOT / "tools/chart.sh", "--print", name], capture_output=True, text=True, timeout=60, check=False
    )

    assert (printed.stderr, printed.stdout) == ("", (ROOT / f"deploy/{name}.yaml").read_text())


# --- values


def leaves(values, path=""):
    """Name the values: what holds others is named by these."""
    for key, value in values.items():
        if isinstance(value, dict) and "properties" in SCHEMA_OF.get(f"{path}{key}", {}):
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}"


def schemas(schema, path=""):
    for key, value in schema["properties"].items():
        yield f"{path}{key}", value
        if "properties" in value:
            yield from schemas(value, f"{path}{key}.")


SCHEMA_OF = dict(schemas(SCHEMA))


def test_the_schema_has_exactly_the_values():
    """None is missing, none is left over, and each is described."""
    in_schema = {path for path, value in SCHEMA_OF.items() if "properties" not in value}

    assert in_schema - {"global", "enabled"} == set(leaves(DEFAULTS))
    assert [path for path, value in SCHEMA_OF.items() if not value.get("description")] == []


def test_the_readme_has_exactly_the_values():
    """A row each, with the default."""
    rows = re.findall(r"^\| `([A-Za-z.]+)` \| (.+?) \| .+ \|$", (CHART / "README.md").read_text(), re.MULTILINE)
    documented = {path: yaml.safe_load(default.strip("`")) for path, default in rows}

    assert len(rows) == len(documented)
    assert documented == {path: at(DEFAULTS, path) for path in leaves(DEFAULTS)}


def at(values, path):
    for key in path.split("."):
        values = values[key]
    return values


def test_what_may_be_allowed_is_what_the_operator_knows():
    """And the defaults are the operator's, of names and of patterns."""
    names, patterns = SCHEMA["properties"]["allow"]["items"]["anyOf"]
    kinds = re.match(r"\^\(([A-Za-z|]+)\)=", patterns["pattern"])[1]
    template = (CHART / "templates/_allow.tpl").read_text()
    own = yaml.safe_load(re.search(r'define "mailport.defaultPatterns" -}}\n(.+?)\n{{', template, re.DOTALL)[1])

    assert set(names["enum"]) == set(permitted.ALLOWANCES)
    assert set(kinds.split("|")) == set(permitted.PATTERNS)
    assert permitted.parse(",".join(DEFAULTS["allow"])) == permitted.DEFAULT
    assert own == {kind: list(each) for kind, each in permitted.DEFAULT_PATTERNS.items() if each}


@pytest.mark.parametrize(
    "option, path, message",
    table(
        {
            "a misspelt value": ("replcias=3", "", "additional properties 'replcias' not allowed"),
            "a misspelt value further in": ("image.tga=1", "/image", "additional properties 'tga' not allowed"),
            "a word for a number": ("replicas=two", "/replicas", "got string, want integer"),
            "too many replicas": ("replicas=11", "/replicas", "maximum: got 11, want 10"),
            "a word for a switch": ("crds.keep=yes", "/crds/keep", "got string, want boolean"),
            "an allowance that there is none of": ("allow={root}", "/allow/0", "value must be one of 'hostNetwork'"),
            "a pattern with a comma, which would be two": (
                "allow[0]=labels=a\\,b",
                "/allow/0",
                "does not match pattern",
            ),
            "a pattern with a quote": ("allow[0]=labels=a'b", "/allow/0", "does not match pattern"),
            "a network whose prefix is too long": (
                "denyDestinations={10.0.0.0/33}",
                "/denyDestinations/0",
                "does not match pattern",
            ),
            "an address of four numbers that is none": (
                "denyDestinations={10.0.0.256}",
                "/denyDestinations/0",
                "does not match pattern",
            ),
            "an address of IPv6 that is none": (
                "denyDestinations={1:2:3}",
                "/denyDestinations/0",
                "does not match pattern",
            ),
            "a network that is a name": (
                "denyDestinations={localhost}",
                "/denyDestinations/0",
                "does not match pattern",
            ),
            "a namespace in upper case": ("watchNamespaces={Mail}", "/watchNamespaces/0", "does not match pattern"),
            "a namespace twice": ("watchNamespaces={a,a}", "/watchNamespaces", "items at 0 and 1 are equal"),
            "a digest that is none": ("image.digest=latest", "/image/digest", "does not match pattern"),
            "a tag in the repository": ("image.repository=a:1", "/image/repository", "does not match pattern"),
            "no repository": ("image.repository=", "/image/repository", "minLength: got 0, want 1"),
            "a registry with a scheme": ("image.registry=https://a", "/image/registry", "does not match pattern"),
            "a format that there is none of": ("listener.configFormat=0", "/listener/configFormat", "minimum: got 0"),
            "a budget that lets no node drain": (
                "podDisruptionBudget.maxUnavailable=0",
                "/podDisruptionBudget/maxUnavailable",
                "minimum: got 0, want 1",
            ),
            "one of no percent": (
                "podDisruptionBudget.maxUnavailable=0%",
                "/podDisruptionBudget/maxUnavailable",
                "does not match pattern",
            ),
            "one of more than all": (
                "podDisruptionBudget.maxUnavailable=150%",
                "/podDisruptionBudget/maxUnavailable",
                "does not match pattern",
            ),
            "a constraint that does not say how far": (
                "topologySpreadConstraints[0].topologyKey=zone",
                "/topologySpreadConstraints/0",
                "missing properties 'maxSkew', 'whenUnsatisfiable'",
            ),
            "a variable that is a number": ("env[0].name=A,env[0].value=1", "/env/0/value", "got number, want string"),
            "a misspelt resource": ("resources.limit.cpu=1", "/resources", "additional properties 'limit' not allowed"),
            "a port of none": ("networkPolicy.apiServerPorts={0}", "/networkPolicy/apiServerPorts/0", "minimum: got 0"),
            "an interval without unit": (
                "metrics.podMonitor.interval=30",
                "/metrics/podMonitor/interval",
                "got number, want string",
            ),
            "a warning after the end": (
                "metrics.prometheusRule.certificateDays.warning=0",
                "/metrics/prometheusRule/certificateDays/warning",
                "exclusiveMinimum: got 0, want 0",
            ),
            "an interval in no order": (
                "metrics.podMonitor.interval=30s1m",
                "/metrics/podMonitor/interval",
                "does not match pattern",
            ),
            "a pull secret that is no object": ("imagePullSecrets={a}", "/imagePullSecrets/0", "want object"),
            "a label that listeners' Services select by": (
                r"podLabels.mailport\.dev/inboundsmtp=mx",
                "/podLabels/mailport.dev~1inboundsmtp",
                "false schema",
            ),
            "a label that Kubernetes would refuse": ("commonLabels.team=a b", "/commonLabels/team", "does not match"),
            "a label's name that it would refuse": ("podLabels.a b=c", "/podLabels", "additional properties 'a b' not"),
            "one of two prefixes": ("commonLabels.a/b/c=d", "/commonLabels", "additional properties 'a/b/c' not"),
            "an annotation's that it would refuse": (
                "podAnnotations.-a=b",
                "/podAnnotations",
                "additional properties '-a' not",
            ),
            "a node's label that no node has": ("nodeSelector./a=b", "/nodeSelector", "additional properties '/a' not"),
            "nothing where the test's name is": ("test=null", "", "missing property 'test'"),
            "a label that is ours, for every gateway": (
                r"defaults.labels.app\.kubernetes\.io/name=x",
                "/defaults/labels/app.kubernetes.io~1name",
                "false schema",
            ),
            "an annotation by which pods were once confined, for every gateway": (
                r"defaults.annotations.container\.apparmor\.security\.beta\.kubernetes\.io/listener=unconfined",
                "/defaults/annotations/container.apparmor.security.beta.kubernetes.io~1listener",
                "false schema",
            ),
            "one in upper case, which the operator refuses": (
                r"defaults.service.annotations.Example\.org/a=b",
                "/defaults/service/annotations",
                "additional properties 'Example.org/a' not",
            ),
            "a class of load balancers with two prefixes": (
                "defaults.service.loadBalancerClass=a/b/c",
                "/defaults/service/loadBalancerClass",
                "does not match pattern",
            ),
            "a label of nodes that none has": (
                "defaults.pod.nodeSelector.a=b c",
                "/defaults/pod/nodeSelector/a",
                "does not match pattern",
            ),
            "a pull secret of no name": (
                "defaults.pod.imagePullSecrets[0].name=a..b",
                "/defaults/pod/imagePullSecrets/0/name",
                "does not match pattern",
            ),
            "a part of a label's prefix that is too long": (
                f"defaults.labels.{'x' * 64}/a=b",
                "/defaults/labels",
                "not allowed",
            ),
            "an account of no name": ("serviceAccount.name=a..b", "/serviceAccount/name", "does not match pattern"),
            "a variable of our own": ("env[0].name=MAILPORT_LISTENER_IMAGE", "/env/0/name", "'not' failed"),
            "a variable with =": ("env[0].name=A=B", "/env/0/name", "does not match pattern"),
            "a default that there is none of": (
                "defaults.pod.adminPort=1",
                "/defaults/pod",
                "additional properties 'adminPort' not allowed",
            ),
            "a name for the test that no InboundSmtp may have": ("test.name=Test", "/test/name", "does not match"),
        }
    ),
)
def test_a_bad_value_is_refused_by_its_path(helm, option, path, message):
    """Before anything is sent to the cluster."""
    with pytest.raises(RefusedError) as refused:
        helm.text(f"--set={option}")

    assert f"at '{path}': " in str(refused.value)
    assert message in str(refused.value)


def test_a_network_with_bits_behind_its_prefix_is_refused(helm):
    """The operator would not start, and the policies would already ask every listener for it."""
    with pytest.raises(RefusedError, match=r"10\.20\.0\.1/14 has bits set behind its prefix: write 10\.20\.0\.0/14"):
        helm.text("--set=denyDestinations={192.0.2.0/24,10.20.0.1/14}")


def test_what_is_nothing_may_also_be_null(helm):
    """As `key:` is in a values file, with nothing behind it."""
    nothing = [path for path in leaves(DEFAULTS) if at(DEFAULTS, path) in ({}, [], "", None)]
    nothing.remove("image.registry")  # which must be said

    assert len(nothing) > 20
    assert helm.render(*(f"--set={path}=null" for path in nothing)) == helm.render()


def paths(values, path=""):
    for key, value in values.items():
        yield f"{path}{key}"
        if isinstance(value, dict):
            yield from paths(value, f"{path}{key}.")


@pytest.mark.parametrize("path", list(paths(DEFAULTS)))
def test_what_is_null_is_rendered_or_refused_by_its_name(helm, path):
    """Whichever it is: never an error from within a template."""
    options = (f"--values={ROOT / 'tests/chart/values/everything.yaml'}", "--set=admissionPolicy.enabled=true")
    try:
        helm.text(*options, f"--set={path}=null")
    except RefusedError as refused:
        assert f"missing property '{path.rpartition('.')[2]}'" in str(refused)  # noqa: PT017 - rendered is fine too


@pytest.mark.parametrize(
    "option",
    table(
        {
            "an interval of a day": "metrics.serviceMonitor.interval=1d",
            "an interval of two units": "metrics.podMonitor.interval=1m30s",
            "a label with a prefix": r"commonLabels.example\.org/Team=a",
            "an annotation in upper case": r"podAnnotations.Example\.org/owner=a",
            "all of the pods at once": "podDisruptionBudget.maxUnavailable=100%",
            "a resource that is no number of anything else": "resources.limits.cpu=1",
            "a switch that a chart above has": "enabled=true",
            "networks of both families, and an address": "denyDestinations={10.0.0.0/8,fd00::/8,192.0.2.7}",
            "all of IPv4, and addresses of IPv6": "denyDestinations={0.0.0.0/0,::1,::ffff:10.0.0.1,1:2:3:4:5:6:7:8}",
        }
    ),
)
def test_a_good_value_is_taken(helm, option):
    """Whatever Kubernetes and Prometheus take."""
    assert helm.render(f"--set={option}")


@pytest.mark.parametrize("enabled", [True, False])
def test_a_chart_above_may_switch_it_off(helm, tmp_path, enabled):
    """By `condition: mailport.enabled`, of which Helm tells this chart too."""
    above = tmp_path / "above"
    shutil.copytree(CHART, above / "charts/mailport")
    dependency = {"name": "mailport", "version": CHART_YAML["version"], "condition": "mailport.enabled"}
    chart = {"apiVersion": "v2", "name": "above", "version": "1.0.0", "dependencies": [dependency]}
    (above / "Chart.yaml").write_text(yaml.safe_dump(chart))
    values = {"enabled": enabled, "image": {"registry": "registry.example.org"}}
    (above / "values.yaml").write_text(yaml.safe_dump({"mailport": values}))

    assert bool(documents(helm.run("template", RELEASE, above))) == enabled


# --- what is rendered


def test_the_operator_understands_its_options(helm):
    """As the container starts it."""
    manifests = helm.render(f"--values={CHART.parent.parent / 'tests/chart/values/namespaced.yaml'}")
    (container,) = find(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    options = _parser().parse_args(container["args"])

    assert container["command"] == ["mailport"]
    assert options.namespace == ["mail", "lists"]
    assert options.leader_elect
    assert options.admin == ("", 8080)
    assert options.allow == permitted.Allowed()
    assert options.lease_namespace is None  # the pod's own


def test_the_operator_is_told_where_gateways_may_connect(helm):
    """And whoever installs it reads so, and how to be without the policies."""
    values = ("--set=denyDestinations={10.0.0.0/16,2001:db8:1::/48}", "--set=allow={loadBalancer,localDestinations}")
    (container,) = find(helm.render(*values), "Deployment")["spec"]["template"]["spec"]["containers"]
    options = _parser().parse_args(container["args"])
    install = ("install", RELEASE, CHART, ON_THE_NODES, "--dry-run=client")
    notes = helm.run(*install, *values).split("NOTES:\n")[1]
    closed = helm.run(*install).split("NOTES:\n")[1]

    assert "admissionPolicy.enabled=false leaves these policies out." in closed
    assert options.deny_destinations == ("10.0.0.0/16", "2001:db8:1::/48")
    assert "localDestinations" in options.allow.names
    assert "a cloud's metadata service among them, but none to 10.0.0.0/16, 2001:db8:1::/48.\n" in notes
    assert "No route leads to loopback or link-local addresses, such as a cloud's metadata service.\n" in closed


def image_of(helm, *options):
    (container,) = find(helm.render(*options), "Deployment")["spec"]["template"]["spec"]["containers"]
    (listener,) = (variable for variable in container["env"] if variable["name"] == "MAILPORT_LISTENER_IMAGE")
    return container["image"], listener["value"]


DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    "options, operator, listener",
    table(
        {
            "this version, where nothing is said": ("", f"mailport:{__version__}", f"mailport:{__version__}"),
            "a registry is before both": (
                "image.registry=registry.example.org",
                f"registry.example.org/mailport:{__version__}",
                f"registry.example.org/mailport:{__version__}",
            ),
            "a digest is in place of a tag": (
                f"image.tag=1,image.digest={DIGEST}",
                f"mailport@{DIGEST}",
                f"mailport@{DIGEST}",
            ),
            "listeners stay behind while the operator is upgraded": (
                "image.tag=2,listener.image.tag=1",
                "mailport:2",
                "mailport:1",
            ),
            "the operator's digest is not that of another tag": (
                f"image.digest={DIGEST},listener.image.tag=1",
                f"mailport@{DIGEST}",
                "mailport:1",
            ),
            "nor that of another repository": (
                f"image.digest={DIGEST},listener.image.repository=listener",
                f"mailport@{DIGEST}",
                f"listener:{__version__}",
            ),
        }
    ),
)
def test_images(helm, options, operator, listener):
    """The listener's is the operator's, but for what is said of it."""
    assert image_of(helm, f"--set-string={options}") == (operator, listener)


def test_the_crd_is_the_file_and_its_metadata(helm):
    """Comments and all; kept when the release goes, unless told otherwise."""
    kept = helm.text("--show-only=templates/crd.yaml")
    (crd,), (source,) = documents(kept), documents(CRD.read_text())

    assert crd["spec"] == source["spec"]
    assert crd["metadata"]["name"] == source["metadata"]["name"]
    assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert set(comments(CRD.read_text())) <= set(comments(kept))
    (not_kept,) = documents(helm.text("--show-only=templates/crd.yaml", "--set=crds.keep=false"))
    assert "annotations" not in not_kept["metadata"]
    assert "CustomResourceDefinition" not in {each["kind"] for each in helm.render("--set=crds.install=false")}


def comments(text):
    return [line.strip() for line in text.splitlines() if line.lstrip().startswith("#")]


@pytest.mark.parametrize(
    "values, pod",
    table(
        {
            "nothing, where nothing is said": ("", {}),
            "the Secrets that the operator's image is pulled with": (
                "imagePullSecrets[0].name=registry",
                {"imagePullSecrets": [{"name": "registry"}]},
            ),
            "nothing of a user, which OpenShift chooses": ("openshift=true", {}),
        }
    ),
)
def test_the_gateway_of_helm_test_is_told_what_the_cluster_asks_of_pods(helm, values, pod):
    """As spec.pod has it."""
    (container,) = find(helm.render(f"--set={values}"), "Pod")["spec"]["containers"]

    assert json.loads(container["args"][-1]) == pod


def test_without_a_registry_it_says_what_to_set(helm):
    """At once, and not by pods that wait for an image of nobody's. Where it is elsewhere, the repository may say so."""
    with pytest.raises(RefusedError) as refused:
        helm.run("template", RELEASE, CHART)
    helm.run("template", RELEASE, CHART, "--set=image.repository=registry.example.org/mail/mailport")

    assert "image.registry must be set, as no image of Mailport is published" in str(refused.value)
    assert f"or --set image.registry= where every node has mailport:{__version__} already" in str(refused.value)


def test_what_helm_test_needs_can_be_left_out(helm):
    """What knows of no hooks would run it: `helm template | kubectl apply`."""
    hooks = [each for each in helm.render() if "helm.sh/hook" in each["metadata"].get("annotations", {})]
    left = helm.render("--set=test.enabled=false")

    assert {each["kind"] for each in hooks} == {"ServiceAccount", "Role", "RoleBinding", "ConfigMap", "Pod"}
    assert [place(each) for each in left] == [place(each) for each in helm.render() if each not in hooks]


def test_what_every_gateway_gets_is_the_operators_file(helm, tmp_path):
    """That which is empty left out; and another file is another pod, as it is read at the start."""
    values = ROOT / "tests/chart/values/authors-and-defaults.yaml"
    manifests = helm.render(f"--values={values}")
    file = find(manifests, "ConfigMap", "mailport-operator-defaults")["data"]["defaults.yaml"]
    pod = find(manifests, "Deployment")["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    (option,) = (each for each in container["args"] if each.startswith("--defaults="))
    (mount,) = container["volumeMounts"]
    (volume,) = pod["spec"]["volumes"]
    (tmp_path / "defaults.yaml").write_text(file)
    options = _parser().parse_args(["operator", f"--defaults={tmp_path / 'defaults.yaml'}"])
    other = find(helm.render(f"--values={values}", "--set=defaults.labels.a=b"), "Deployment")["spec"]["template"]

    assert yaml.safe_load(file) == yaml.safe_load(values.read_text())["defaults"]
    assert options.defaults.pod.node_selector == {"example.org/pool": "mail"}
    assert option == f"--defaults={mount['mountPath']}/defaults.yaml"
    assert volume["configMap"]["name"] == "mailport-operator-defaults"
    assert pod["metadata"]["annotations"] != other["metadata"]["annotations"]
    assert "volumes" not in find(helm.render(), "Deployment")["spec"]["template"]["spec"]


def test_openshift_chooses_the_users_of_all_pods(helm):
    """The operator's, the test's, and the listeners', whose test then needs a port that any user may bind."""
    manifests = helm.render("--set=openshift=true")
    (operator,) = find(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    pods = [find(manifests, "Deployment")["spec"]["template"]["spec"], find(manifests, "Pod")["spec"]]

    assert "--security-context=Platform" in operator["args"]
    assert not any("runAsUser" in pod["securityContext"] for pod in pods)
    assert pods[1]["containers"][0]["args"][3] == "mailport-test.mailport-system.svc:2525"
    assert find(helm.render(), "Pod")["spec"]["containers"][0]["args"][3] == "mailport-test.mailport-system.svc:25"


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_no_object_comes_twice(helm, values):
    """Kinds, namespaces and names differ; and each object of a namespace says of which."""
    manifests = helm.render(f"--values={values}")
    cluster_wide = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
    cluster_wide |= {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}

    assert len({place(manifest) for manifest in manifests}) == len(manifests)
    assert [
        place(m) for m in manifests if m["metadata"].get("namespace") is None and m["kind"] not in cluster_wide
    ] == []


def test_names_stay_within_their_bounds(helm):
    """Also of a release with as long a name as Helm takes: a Service's has 63 characters."""
    long = "r" * 53
    manifests = helm.render("--set=metrics.serviceMonitor.enabled=true", release=long)

    assert find(manifests, "Service")["metadata"]["name"] == f"{long}-operator"
    assert (
        find(manifests, "ClusterRoleBinding")["roleRef"]["name"]
        == find(manifests, "ClusterRole", f"{long}-operator.mailport-system")["metadata"]["name"]
    )


@pytest.mark.parametrize(
    "there, here",
    table(
        {
            "one name in two namespaces": (("mailport", "mail"), ("mailport", "lists")),
            "names that, put together, are one": (("a-mailport", "mail"), ("mailport", "mail-a")),
            "and the other way round": (("mailport-a", "mail"), ("mailport", "a-mail")),
        }
    ),
)
def test_releases_in_two_namespaces_share_no_name_in_the_cluster(helm, there, here):
    """But for the definition and the roles of people, which all but one leave out."""
    first = helm.render(release=there[0], namespace=there[1])
    others = "--set=crds.install=false,userRoles.create=false"
    second = helm.render(others, release=here[0], namespace=here[1])
    names = [
        {place(each) for each in manifests if "namespace" not in each["metadata"]} for manifests in (first, second)
    ]

    assert {kind for kind, _, _ in names[1]} > {"ClusterRole", "ClusterRoleBinding", "ValidatingAdmissionPolicyBinding"}
    assert names[0] & names[1] == set()


@pytest.mark.parametrize(
    "release, name",
    table(
        {
            "the chart's own": ("mailport", "mailport-operator"),
            "one that the chart's is not in": ("mail", "mail-mailport-operator"),
            "one with a dot": ("mail.port", "mail-port-mailport-operator"),
            "a number": ("123", "mailport-123-operator"),
            "a number with a point": ("1.5", "mailport-1-5-operator"),
            "one that begins with a digit, and has the chart's in it": ("2mailport", "mailport-2mailport-operator"),
        }
    ),
)
def test_every_release_has_a_name_that_services_may_have(helm, release, name):
    """RFC 1035's label, which Helm's release names need not be."""
    service = find(helm.render("--set=metrics.serviceMonitor.enabled=true", release=release), "Service")

    assert service["metadata"]["name"] == name
    assert re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", name)
    assert service["metadata"]["labels"]["app.kubernetes.io/instance"] == release


@pytest.mark.parametrize("name", ["123", "1.5", "0x1f", "on", "null"])
def test_a_name_that_yaml_takes_for_something_else_stays_text(helm, name):
    """Whatever it is a name of."""
    everything = ROOT / "tests/chart/values/everything.yaml"
    values = {
        "serviceAccount.name": name,
        "priorityClassName": name,
        "imagePullSecrets[0].name": name,
        "podLabels.x": name,
    }
    if name.isalpha():
        values |= {"nameOverride": name, "test.name": name, "fullnameOverride": name}
    if "." not in name:
        values |= {"watchNamespaces[0]": name}
    options = (f"--values={everything}", "--set=admissionPolicy.enabled=true")
    rendered = helm.render(
        *options,
        *(f"--set-string={path}={value}" for path, value in values.items()),
        release=name,
        namespace=values.get("watchNamespaces[0]", "mail"),
    )
    ordinary = helm.render(
        *options, *(f"--set-string={path}=mail" for path in values), release="mail", namespace="mail"
    )

    assert list(map(shape, rendered)) == list(map(shape, ordinary))


def shape(value):
    """Tell of a manifest what is text, what a number, and so on."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    return list(map(shape, value)) if isinstance(value, list) else type(value)


def test_the_operators_pods_are_nobody_elses(helm):
    """Listeners are selected by mailport.dev/inboundsmtp; the operator's own pods do not carry it."""
    deployment = find(helm.render(), "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]

    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert labels["app.kubernetes.io/component"] == "operator"
    assert not [label for label in labels if label.startswith("mailport.dev/")]


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_the_notes_give_the_next_command(helm, values, tmp_path):
    """With the names of this release, and a document that is good."""
    notes = helm.run(
        "install", RELEASE, CHART, ON_THE_NODES, f"--values={values}", "--namespace=mailport-system", "--dry-run=client"
    ).split("NOTES:\n")[1]
    document = re.search(r"<<'END'\n(.+?)\n  END\n", notes, re.DOTALL)
    commands = [shlex.split(line) for line in notes.splitlines() if line.startswith(("  kubectl", "  helm"))]
    path = tmp_path / "document.yaml"
    path.write_text(re.sub("^  ", "", document[1], flags=re.MULTILINE))

    has_test = (yaml.safe_load(values.read_text()) or {}).get("test", {}).get("enabled") is not False
    assert (["helm", "test", RELEASE, "--namespace", "mailport-system"] in commands) == has_test
    assert commands[0][:3] == ["kubectl", "rollout", "status"]
    assert commands[0][3] == f"deployment/{find(helm.render(f'--values={values}'), 'Deployment')['metadata']['name']}"
    assert validated(path)


def validated(path: Path) -> bool:
    parsed = _parser().parse_args(["validate", "-f", str(path)])
    return parsed.run(parsed) == 0
