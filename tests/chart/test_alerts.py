"""Alerts and dashboard: Prometheus' own promtool reads them, and they speak of metrics that there are."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from mailport.listener import metrics as of_listeners
from mailport.operator.report import metrics as of_the_operator
from tests.chart.charts import CHART, find
from tests.tables import table

HERE = Path(__file__).parent
ALERTS = CHART / "files/alerts.yaml"
UNIT_TESTS = HERE / "alerts_test.yaml"
DASHBOARD = json.loads((CHART / "files/dashboard.json").read_text())
RULES = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


@pytest.fixture(scope="module")
def promtool():
    found = shutil.which("promtool")
    if found is None and not os.environ.get("CI"):
        pytest.skip("promtool, of Debian's prometheus, is not installed: make setup")
    return found or "promtool"


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# --- alerts


@pytest.mark.slow
def test_each_alert_fires_when_it_should_and_else_does_not(promtool):
    """The cases are in alerts_test.yaml."""
    assert f"{len(RULES)} rules found" in run(promtool, "check", "rules", "--lint=all", "--lint-fatal", ALERTS)
    assert "SUCCESS" in run(promtool, "test", "rules", UNIT_TESTS)


def test_each_alert_has_a_case_of_both():
    """One where it fires and one where it does not."""
    cases = [case for test in yaml.safe_load(UNIT_TESTS.read_text())["tests"] for case in test["alert_rule_test"]]
    alerts = {rule["alert"] for rule in RULES}

    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == alerts


def test_each_alert_tells_a_person_what_to_do():
    """How bad it is, what it is, and what follows from it."""
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["annotations"]["summary"].endswith(".")


# --- what they speak of


def samples(exposition):
    """Name what a scrape brings, with labels."""
    found = {}
    for family in text_string_to_metric_families(exposition.decode()):
        names = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        base = family.name.removesuffix("_total")
        found |= {f"{base}{suffix}": family for suffix in names}
    return found


@pytest.fixture(scope="module")
def known():
    return {**samples(of_listeners.exposition()[0]), **samples(of_the_operator.exposition()[0]), "up": None}


EXPRESSIONS = {
    **{f"alert {rule['alert']}": rule["expr"] for rule in RULES},
    **{f"panel {panel['title']}, {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]},
}
METRIC = re.compile(r"\b(?:mailport_\w+|process_\w+|up)\b")


@pytest.mark.parametrize("place", EXPRESSIONS)
def test_each_metric_is_one_of_ours(known, place):
    """By the name that a scrape brings: with _total, _bucket and so on."""
    names = set(METRIC.findall(re.sub(r'"[^"]*"', "", EXPRESSIONS[place])))

    assert names
    assert names - known.keys() == set()


def test_the_dashboard_shows_every_metric(known):
    """None of ours that is counted for nothing."""
    shown = set(METRIC.findall(" ".join(EXPRESSIONS[place] for place in EXPRESSIONS if place.startswith("panel"))))
    ours = {
        name for name in known if name.startswith("mailport_") and not name.endswith(("_sum", "_count", "_created"))
    }

    assert ours - shown == set()


# --- dashboard


@pytest.mark.parametrize("place", EXPRESSIONS)
def test_gateways_of_one_name_are_told_apart(place):
    """By their namespaces, with which each sum keeps to itself."""
    kept = [set(labels.split(", ")) for labels in re.findall(r"by \(([^)]*)\)", EXPRESSIONS[place])]

    assert [labels for labels in kept if "gateway" in labels and "namespace" not in labels] == []


def test_a_legend_names_gateways_as_alerts_do():
    """Namespace and name."""
    legends = [target["legendFormat"] for panel in PANELS for target in panel["targets"]]
    named = [legend for legend in legends if "{{gateway}}" in legend]

    assert named
    assert [legend for legend in named if "{{namespace}}/{{gateway}}" not in legend] == []


@pytest.mark.slow
def test_prometheus_can_read_each_query_of_the_dashboard(promtool, tmp_path):
    """With Grafana's variables filled in."""
    queries = [target["expr"] for panel in PANELS for target in panel["targets"]]
    variables = {"$__rate_interval": "5m", "$namespace": ".*", "$gateway": ".*"}
    for name, value in variables.items():
        queries = [query.replace(name, value) for query in queries]
    rules = tmp_path / "queries.yaml"
    records = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    rules.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": records}]}))

    assert not [query for query in queries if "$" in query]
    assert f"{len(queries)} rules found" in run(promtool, "check", "rules", rules)


def test_the_dashboard_is_whole():
    """Each panel has its place, its data source and a word on what it shows."""
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]}
    ids = {panel["id"] for panel in DASHBOARD["panels"]}
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}

    assert len(places) == len(ids) == len(DASHBOARD["panels"])
    assert variables == {"datasource", "namespace", "gateway"}
    for panel in PANELS:
        assert panel["description"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


# --- in the cluster


def test_what_the_operator_says_of_a_namespace_is_not_taken_for_its_own(helm):
    """Prometheus would keep the pod's, and call the other exported_namespace. No other label is in its way."""
    (endpoint,) = find(helm.render("--set=metrics.serviceMonitor.enabled=true"), "ServiceMonitor")["spec"]["endpoints"]
    of_targets = {"namespace", "pod", "container", "service", "endpoint", "job", "instance"}
    families = samples(of_the_operator.exposition()[0]).values()

    assert endpoint["honorLabels"] is True
    assert {label for family in families for sample in family.samples for label in sample.labels} & of_targets <= {
        "namespace"
    }


def test_the_objects_hold_the_files(helm):
    """Word for word, though `{{` means something in a template of Helm's too; but for what is of the release."""
    enabled = ("prometheusRule", "dashboard")
    manifests = helm.render(*(f"--set=metrics.{name}.enabled=true" for name in enabled))
    (dashboard,) = find(manifests, "ConfigMap", "mailport-dashboard")["data"].values()
    rendered = alerts(manifests)
    rendered["MailportOperatorDown"]["expr"] += "\nor\nabsent(mailport_operator_leader)"

    assert list(rendered.values()) == RULES
    assert json.loads(dashboard) == DASHBOARD


LEADS = "mailport_operator_leader"
OURS = f'{LEADS}{{namespace="mailport-system", job="mailport-operator"}}'
THEIRS = f'{LEADS}{{namespace="tenant", job="mailport-operator"}}'
BOTH = "metrics.serviceMonitor.enabled=true,metrics.prometheusRule.enabled=true"
ALONE = "metrics.prometheusRule.enabled=true"


@pytest.mark.parametrize(
    "values, series, fires_in",
    table(
        {
            "it leads, as does that of another release": (BOTH, {OURS: "1x20", THEIRS: "1x20"}, []),
            "it is gone": (BOTH, {}, ["mailport-system"]),
            "it is gone, and that of another release leads": (BOTH, {THEIRS: "1x20"}, ["mailport-system"]),
            "none of its replicas leads": (BOTH, {OURS: "0x20"}, ["mailport-system"]),
            "that of another release does not lead": (BOTH, {OURS: "1x20", THEIRS: "0x20"}, ["tenant"]),
            "nobody scrapes it": (ALONE, {}, []),
            "somebody else scrapes it, and it does not lead": (ALONE, {OURS: "0x20"}, ["mailport-system"]),
        }
    ),
)
def test_an_operator_that_is_down_is_that_of_the_release(helm, promtool, tmp_path, values, series, fires_in):
    """As its own ServiceMonitor has it scraped."""
    spec = find(helm.render(f"--set={values}"), "PrometheusRule")["spec"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(spec))
    description = alerts_of(spec)["MailportOperatorDown"]["annotations"]["description"]
    fired = [
        {
            "exp_labels": {"severity": "warning", "namespace": namespace},
            "exp_annotations": {
                "summary": f"No replica of Mailport's operator in {namespace} leads.",
                "description": description,
            },
        }
        for namespace in fires_in
    ]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": points} for name, points in series.items()],
        "alert_rule_test": [{"eval_time": "10m", "alertname": "MailportOperatorDown", "exp_alerts": fired}],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": [test]}))

    assert "SUCCESS" in run(promtool, "test", "rules", tmp_path / "test.yaml")


@pytest.mark.parametrize(
    "days, warning, critical",
    table(
        {
            "of certificates that live for three months": ({}, "14", "2"),
            "that live for a week": ({"warning": 2, "critical": 0.25}, "2", "0.25"),
            "that are renewed by hand": ({"warning": 30, "critical": 14}, "30", "14"),
        }
    ),
)
def test_the_days_of_certificates_are_values(helm, days, warning, critical):
    """Each alert has its own, whatever the other's is."""
    options = (
        "--set=metrics.prometheusRule.enabled=true",
        f"--set-json=metrics.prometheusRule.certificateDays={json.dumps(days)}",
    )
    rules = alerts(helm.render(*options))

    assert rules["MailportCertificateExpiresSoon"]["expr"].endswith(f" - time() < {warning} * 86400")
    assert rules["MailportCertificateExpires"]["expr"].endswith(f" - time() < {critical} * 86400")


def alerts(manifests):
    return alerts_of(find(manifests, "PrometheusRule")["spec"])


def alerts_of(spec):
    return {rule["alert"]: rule for group in spec["groups"] for rule in group["rules"]}
