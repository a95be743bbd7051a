"""What Prometheus is told: it reads it, each alert fires when it must and only then, and has a page to read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from common import config
from common.metrics import TABLE
from tests.monitoring.expressions import STAGES, of_dashboards
from tests.monitoring.rules import MONITORING, RULE_FILES, Rule, copy_with, mutants, rules, told, unit_tests

ROOT = MONITORING.parent
ALERTS = rules("alert")
CONFIGURATIONS = (ROOT / "config.yaml", ROOT / "simulator" / "demo.yaml")
each_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: rule["alert"])


def test_prometheus_reads_it(promtool: str) -> None:
    """The configuration and the rule files are as Prometheus wants them; it finds every rule file by itself."""
    code, said = told(promtool, "check", "config", MONITORING / "prometheus.yml")
    assert code == 0, said
    assert f"{len(RULE_FILES)} rule files found" in said
    code, said = told(promtool, "check", "rules", *RULE_FILES)
    assert code == 0, said


def test_what_is_scraped() -> None:
    """Every replica of every stage that is shipped, and the orchestrator, by the names that compose.yaml gives them."""
    jobs = {
        job["job_name"]: job for job in yaml.safe_load((MONITORING / "prometheus.yml").read_text())["scrape_configs"]
    }
    found = {name: job["dns_sd_configs"][0] for name, job in jobs.items()}
    assert found["grin-stages"] == {"names": list(STAGES), "type": "A", "port": 8000, "refresh_interval": "5s"}
    assert found["grin-orchestrator"] == {
        "names": ["orchestrator"],
        "type": "A",
        "port": 8080,
        "refresh_interval": "5s",
    }
    assert {*STAGES, "orchestrator"} <= set(yaml.safe_load((ROOT / "compose.yaml").read_text())["services"])


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_which_stage_takes_from_which_bucket(path: Path) -> None:
    """The rules know the same line of stages as the configurations that are shipped."""
    rows = [rule["labels"] for rule in rules("record") if rule["record"] == "grin:stage_input:info"]
    filters = yaml.safe_load(path.read_text())["filters"]
    assert [(row["stage"], row["bucket"]) for row in rows] == [
        (row["name"], Path(row["input_pipe"]).name) for row in filters
    ]


@pytest.mark.parametrize("path", sorted((MONITORING / "tests").glob("*.yml")), ids=lambda path: path.stem)
def test_the_rules_do_as_they_should(promtool: str, path: Path) -> None:
    """Every unit test of the rules passes."""
    code, said = told(promtool, "test", "rules", path)
    assert code == 0, said


@each_alert
def test_each_alert_is_tried_both_ways(alert: Rule) -> None:
    """Each alert has a test in which it fires, and one in which it never does; their names say which."""
    tried = unit_tests(alert["alert"])
    for test in tried:
        cases = test["alert_rule_test"]
        assert {case["alertname"] for case in cases} == {alert["alert"]}
        fires = any(case["exp_alerts"] for case in cases)
        assert test["name"].startswith(f"{alert['alert']} {'fires' if fires else 'is silent'}: ")
    assert len({test["name"].split(":")[0] for test in tried}) == 2


@pytest.mark.slow
@each_alert
def test_a_wrong_rule_is_noticed(promtool: str, alert: Rule, tmp_path: Path) -> None:
    """Another threshold, a clause less, another window, more patience or none: each makes a test of the alert fail."""
    survived = []
    for number, (wrong, rule) in enumerate([("as it is", alert), *mutants(alert)]):
        (folder := tmp_path / str(number)).mkdir()
        _, said = told(promtool, "test", "rules", copy_with(folder, rule))
        if "FAILED" not in said:
            survived.append(wrong)
    assert survived == ["as it is"]


@each_alert
def test_each_alert_has_a_page(alert: Rule) -> None:
    """Each alert says how bad it is, what is wrong and what to do, and names its page, which the index names too."""
    name, said = alert["alert"], alert["annotations"]
    assert set(said) == {"summary", "description", "runbook_url"}
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["for"]
    assert said["description"].endswith(".")
    page = ROOT / said["runbook_url"]
    assert page == ROOT / "docs" / "runbook" / f"{name}.md"
    assert page.read_text().startswith(f"# {name}\n")
    assert f"[{name}]({name}.md)" in (page.parent / "README.md").read_text()


def test_no_page_without_an_alert() -> None:
    """The runbook has no page of an alert that is gone."""
    pages = {path.stem for path in (ROOT / "docs" / "runbook").glob("*.md")}
    assert pages == {rule["alert"] for rule in ALERTS} | {"README"}


def test_every_metric_exists() -> None:
    """Rules and dashboards ask for metrics of the table, with labels that these have, and for what is recorded."""
    table = {row.name: set(row.labels) for row in TABLE}
    recorded = {rule["record"] for rule in rules("record")}
    texts = [rule["expr"] for kind in ("alert", "record") for rule in rules(kind)]
    for text in [*texts, *(expression.text for expression in of_dashboards())]:
        for name, selector in re.findall(r"\b(grin[a-z_:]+)\b(?:\{([^}]*)\})?", text):
            base = re.sub(r"(?<=duration_seconds)_(bucket|sum|count)$", "", name)
            assert name in recorded or base in table, text
            if base in table:
                more = {"instance", "job", *({"stage"} if base == "grin_requests_total" else ())}
                assert set(re.findall(r"(\w+)(?:=|!)", selector)) <= table[base] | more, text


def test_the_shipped_buckets_are_the_boards() -> None:
    """What config.yaml makes of its line is what the rules take it for: the last bucket is nobody's input."""
    settings = config.load(ROOT / "config.yaml")
    inputs = [rule["labels"]["bucket"] for rule in rules("record") if rule["record"] == "grin:stage_input:info"]
    assert settings.buckets() == [*inputs, "05_uploaded"]
