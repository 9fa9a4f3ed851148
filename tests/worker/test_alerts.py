"""Alerts: they ask for metrics that exist, fire when they should, and have a runbook."""

import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from promql_parser import parse

from pipeline.observability.api_metrics import API_METRICS
from pipeline.observability.metrics import LATENCY_OBJECTIVE_S, METRICS, Kind
from pipeline.observability.scrub_metrics import SCRUB_METRICS
from tests.worker.test_deploy import PROMETHEUS, ROOT, compose, documents

FILES = ("awaway.rules.yml", "awaway.slo.rules.yml")
OBJECTIVES = {
    "AwawayLatencyBudgetBurn": ("latency", "0.001"),
    "AwawayApiReadableLate": ("api-latency", "0.001"),
    "AwawayApiErrorBudgetBurn": ("api-availability", "0.001"),
    "AwawayReadsNotFresh": ("read-freshness", "0.01"),
    "AwawayDuplicatesBudgetBurn": ("duplicates", "0.02"),
}


GRAFANA = ROOT / "deploy" / "grafana" / "awaway.json"


def rules() -> list[dict[str, Any]]:
    loaded = [made for name in FILES for made in documents(PROMETHEUS / name)]
    return [rule for made in loaded for group in made["groups"] for rule in group["rules"]]


def test_prometheus_loads_the_rules_that_are_there() -> None:
    (made,) = documents(PROMETHEUS / "prometheus.yml")
    assert sorted(made["rule_files"]) == sorted(FILES)
    jobs = {job["job_name"]: job["static_configs"][0] for job in made["scrape_configs"]}
    assert set(jobs) == {"awaway-worker", "awaway-api"}
    services = compose()["services"]
    for job in jobs.values():
        assert {target.split(":")[0] for target in job["targets"]} <= set(services)
    asked = {name for rule in rules() for name in re.findall(r'job="([^"]+)"', rule["expr"])}
    assert asked == set(jobs)


def panels() -> list[dict[str, Any]]:
    return [one for one in json.loads(GRAFANA.read_text())["panels"] if one["type"] != "row"]


def queries() -> list[str]:
    """Those of the dashboard, with a window for Grafana's."""
    texts = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [text.replace("$__rate_interval", "5m") for text in texts]


def test_the_dashboard_is_up_to_date() -> None:
    made = runpy.run_path(str(ROOT / "deploy" / "dashboard.py"))
    assert GRAFANA.read_text() == made["text"](), "run `python deploy/dashboard.py`"


def test_the_dashboard_asks_for_what_is_recorded_and_has_each_number_of_a_panel_once() -> None:
    named = {name for text in queries() for name in re.findall(r"\b(?:slo|awaway):[\w:]+", text)}
    assert named <= {rule["record"] for rule in rules() if "record" in rule}
    numbers = [panel["id"] for panel in json.loads(GRAFANA.read_text())["panels"]]
    assert len(set(numbers)) == len(numbers) > 20
    assert all(panel["description"] and panel["fieldConfig"] for panel in panels())


def test_expressions_ask_only_for_metrics_that_exist() -> None:
    known = set()
    for metric in (*METRICS, *API_METRICS, *SCRUB_METRICS):
        suffixes = ("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",)
        known |= {metric.name + suffix for suffix in suffixes}
    texts = [*queries(), *(rule["expr"] for rule in rules())]
    asked = {name for text in texts for name in re.findall(r"\bawaway_[a-z_]+", text)}
    assert len(asked) > 30
    assert asked <= known


def test_labels_in_expressions_are_those_of_the_metric() -> None:
    labels = {
        metric.name: {*metric.labels, "job", "instance", "le"}
        for metric in (*METRICS, *API_METRICS, *SCRUB_METRICS)
    }
    for text in (*queries(), *(rule["expr"] for rule in rules())):
        for name, matchers in re.findall(r"(awaway_[a-z_]+)\{([^}]*)\}", text):
            used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
            assert used <= labels[re.sub(r"_(bucket|sum|count)$", "", name)], text


def test_expressions_are_promql() -> None:
    for text in (*queries(), *(rule["expr"] for rule in rules())):
        assert parse(text) is not None, text


def test_the_objective_is_the_bucket_that_the_code_has() -> None:
    bucket = f'le="{float(LATENCY_OBJECTIVE_S)!r}"'
    for name in ("latency", "api-latency"):
        recordings = recorded("slo:sli_error", name)
        windows = {r["labels"]["sloth_window"] for r in recordings}
        assert windows == {"5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d"}
        assert sum(bucket in r["expr"] for r in recordings) == 7


def recorded(name: str, slo: str) -> list[dict[str, Any]]:
    return [
        rule
        for rule in rules()
        if rule.get("record", "").startswith(name) and rule["labels"]["sloth_slo"] == slo
    ]


def test_burn_rates_are_the_usual_ones_of_each_objective() -> None:
    burns = [rule for rule in rules() if "sloth_severity" in rule.get("labels", {})]
    assert {rule["alert"] for rule in burns} == set(OBJECTIVES)
    usual = {
        "page": [("5m", "14.4"), ("1h", "14.4"), ("30m", "6"), ("6h", "6")],
        "ticket": [("2h", "3"), ("1d", "3"), ("6h", "1"), ("3d", "1")],
    }
    for rule in burns:
        slo, budget = OBJECTIVES[rule["alert"]]
        found = re.findall(
            rf'rate(\w+)\{{[^}}]*sloth_slo="{slo}"\}} > \(([\d.]+) \* {budget}\)', rule["expr"]
        )
        assert found == usual[rule["labels"]["severity"]]
        (ratio,) = recorded("slo:error_budget:ratio", slo)
        assert ratio["expr"] == f"vector({budget})"
    paged = {rule["alert"] for rule in burns if rule["labels"]["severity"] == "page"}
    assert paged == {"AwawayLatencyBudgetBurn", "AwawayApiReadableLate", "AwawayApiErrorBudgetBurn"}


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_each_alert_has_a_runbook_that_starts_with_what_not_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert alert["annotations"]["summary"]
    page = ROOT / alert["annotations"]["runbook_url"]
    lines = page.read_text(encoding="utf-8").splitlines()
    assert alert["alert"] in lines[0]
    headings = [line for line in lines if line.startswith("## ")]
    assert headings == [
        "## What not to do",
        "## What it means",
        "## What to look at",
        "## What to do",
        "## When it is over",
    ]


def test_no_runbook_is_left_over() -> None:
    linked = {Path(alert["annotations"]["runbook_url"]).name for alert in alerts()}
    there = {path.name for path in (ROOT / "docs" / "runbooks").glob("*.md")}
    assert there == linked


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", *FILES],
        ["test", "rules", "awaway.rules.test.yml"],
    ],
    ids=" ".join,
)
def test_promtool_agrees(arguments: list[str]) -> None:
    ran = subprocess.run(
        ["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
