"""As many workers as books wait: each query by a real Prometheus' own evaluator, and what becomes of it in a day."""

from __future__ import annotations

import copy
import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.compose_file import ROOT
from tests.kubernetes.rendered import of_kind, rendered
from tests.kubernetes.scaling import STEP, Autoscaler, Stage
from tests.kubernetes.surroundings import environment
from tests.kubernetes.workloads import STAGE, component, name, pod
from tests.monitoring.conftest import promtool  # noqa: F401 - as the tests of the rules have it
from tests.monitoring.rules import MONITORING, told

PRODUCTION = ROOT / "k8s" / "overlays" / "production"
FILTERS = {
    row["name"]: Path(row["input_pipe"]).name for row in yaml.safe_load((ROOT / "config.yaml").read_text())["filters"]
}
HOUR = 3600
# What is beside it in every scene: books that nobody will take, other stages' books, and other stages that are held.
_BESIDE = {
    'grin_bucket_tokens{bucket="BUCKET",state="failed"}': "3x20",
    'grin_bucket_tokens{bucket="BUCKET",state="held"}': "2x20",
    'grin_bucket_tokens{bucket="09_other",state="waiting"}': "70x20",
    'grin_stage_wip_limited{stage="other"}': "1x20",
    'grin_stage_paused{stage="other",reason="halt"}': "1x20",
}


def _scene(
    waiting: str = "0x20", working: str = "0x20", deferred: str = "0x20", twice: str = "", **held: str
) -> dict[str, str]:
    states = {"waiting": waiting, "working": working, "deferred": deferred}
    series = {f'grin_bucket_tokens{{bucket="BUCKET",state="{state}"}}': of for state, of in states.items()}
    if twice:
        series |= {f'grin_bucket_tokens{{bucket="BUCKET",state="{state}",instance="b"}}': twice for state in states}
    limited = 'grin_stage_wip_limited{stage="STAGE",instance="%s"}'
    paused = 'grin_stage_paused{stage="STAGE",instance="a",reason="%s"}'
    names = {
        "limited": limited % "a",
        "second": limited % "b",
        "operator": paused % "operator",
        "halt": paused % "halt",
    }
    return series | {names[key]: of for key, of in held.items()}


# After 15 minutes: what the two queries are, None where they have no figure.
SCENES: dict[str, tuple[dict[str, str], float | None, float | None]] = {
    "nothing there": (_scene(limited="0x20", halt="0x20"), 0, 0),
    "books wait": (_scene("40x20", "2x20", limited="0x20", second="0x20", operator="0x20", halt="0x20"), 40, 1),
    "books wait, and nobody works": (_scene("40x20"), 40, 1),
    "one book, for hours": (_scene(working="1x20", limited="0x20"), 0, 1),
    "only deferred ones": (_scene(deferred="2x20"), 0, 1),
    "limited for 5 minutes": (_scene("40x20", limited="0x5 1x15"), 0, 1),
    "limited, and one of two in work": (_scene("40x20", "1x20", limited="1x20", second="0x20"), 0, 1),
    "limited for a minute": (_scene("40x20", limited="0x13 1x6"), 40, 1),
    "a limit that has ended": (_scene("40x20", limited="1x13 0x6"), 40, 1),
    "a limit that comes and goes": (_scene("40x20", limited="0 1 1 0 1 1 0 1 1 0 1 1 0 1 1 0 1 1"), 40, 1),
    "paused": (_scene("40x20", operator="1x20", halt="0x20", limited="0x20"), 0, 1),
    "halted": (_scene("40x20", halt="1x20", limited="0x20"), 0, 1),
    "two orchestrators": (_scene("40x20", "2x20", "1x20", twice="38x20"), 40, 1),
    "the orchestrator is gone": (_scene("40x9 stale", "1x9 stale", "0x9 stale", limited="0x20"), None, None),
}


@cache
def _scaled() -> dict[str, dict[str, Any]]:
    """The spec of each ScaledObject, by what it scales."""
    return {one["spec"]["scaleTargetRef"]["name"]: one["spec"] for one in of_kind(rendered(PRODUCTION), "ScaledObject")}


def _queries(spec: dict[str, Any]) -> dict[str, str]:
    return {trigger["name"]: trigger["metadata"]["query"] for trigger in spec["triggers"]}


def _samples(figure: float | None) -> list[dict[str, Any]]:
    return [] if figure is None else [{"labels": "{}", "value": figure}]


def _tests(stage: str, queries: dict[str, str]) -> list[dict[str, Any]]:
    """What promtool is given: each scene, each query, and whether the alert StageDown sees the same books."""
    alert = f'sum(grin:stage_tokens:in_line{{stage="{stage}"}} > bool 0)'
    tests = []
    for scene, (series, waiting, in_line) in SCENES.items():
        wanted = {queries["waiting"]: waiting, queries["in_line"]: in_line, alert: in_line}
        tests.append(
            {
                "name": f"{stage}: {scene}",
                "interval": "1m",
                "input_series": [
                    {"series": key.replace("BUCKET", FILTERS[stage]).replace("STAGE", stage), "values": values}
                    for key, values in (_BESIDE | series).items()
                ],
                "promql_expr_test": [
                    {"expr": query, "eval_time": "15m", "exp_samples": _samples(figure)}
                    for query, figure in wanted.items()
                ],
            }
        )
    return tests


def _evaluated(program: str, folder: Path, tests: list[dict[str, Any]]) -> tuple[int, str]:
    file = folder / "queries.yml"
    recording = str(MONITORING / "rules" / "recording.yml")
    order = ["grin-line", "grin-board", "grin-stages"]
    whole = {"rule_files": [recording], "group_eval_order": order, "tests": tests}
    file.write_text(yaml.safe_dump(whole, sort_keys=False))
    return told(program, "test", "rules", file)


@pytest.mark.parametrize("stage", FILTERS)
def test_what_the_queries_are(promtool: str, tmp_path: Path, stage: str) -> None:  # noqa: F811
    """In each scene the queries as rendered have the one figure that they should, or none without the board."""
    code, said = _evaluated(promtool, tmp_path, _tests(stage, _queries(_scaled()[stage])))
    assert code == 0, said


WRONG = {
    "it adds up two orchestrators": ("waiting", r"^max\(", "sum("),
    "it counts what is in work": ("waiting", 'state="waiting"', 'state=~"waiting|working"'),
    "a minute of a limit is enough": ("waiting", r"\[5m\]", "[1m]"),
    "one moment of a limit is enough": ("waiting", "min_over_time", "max_over_time"),
    "it asks for no worker that nobody knows of": ("waiting", r" or vector\(0\)", ""),
    "a pause is no reason": ("waiting", r" or min_over_time\(grin_stage_paused[^)]*\)", ""),
    "another stage's limit holds it": ("waiting", r"grin_stage_wip_limited\{[^}]*\}", "grin_stage_wip_limited"),
    "it asks for one a book": ("in_line", r"clamp_max\((.*), ?1\)$", r"\1"),
    "it forgets what is deferred": ("in_line", r"\|deferred", ""),
    "it forgets what is in work": ("in_line", r"\|working", ""),
    "no figure is a zero": ("in_line", "$", " or vector(0)"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_query_is_noticed(promtool: str, tmp_path: Path, wrong: str) -> None:  # noqa: F811
    """Each clause of the queries counts: without it, a scene has another figure."""
    trigger, old, new = WRONG[wrong]
    queries = _queries(_scaled()["decryptor"])
    changed = queries | {trigger: re.sub(old, new, queries[trigger], count=1)}
    assert changed != queries
    code, said = _evaluated(promtool, tmp_path, _tests("decryptor", changed))
    assert code != 0
    assert "FAILED" in said


def test_every_stage_is_scaled() -> None:
    """Each stage of config.yaml, and nothing else, is scaled, by what waits in its own input bucket."""
    deployments = [one for one in of_kind(rendered(PRODUCTION), "Deployment") if component(one) == STAGE]
    assert set(_scaled()) == set(FILTERS) == set(map(name, deployments))
    for stage, spec in _scaled().items():
        queries = _queries(spec)
        assert list(queries) == ["waiting", "in_line"]
        assert set(re.findall(r'bucket="(\w+)"', " ".join(queries.values()))) == {FILTERS[stage]}
        assert set(re.findall(r'stage="(\w+)"', queries["waiting"])) == {stage}


def test_what_all_have_in_common() -> None:
    """Stages differ in names, thresholds and limits alone; a missing figure is an error, and never takes a worker."""
    common = []
    for stage, spec in _scaled().items():
        rest = copy.deepcopy(spec)
        for trigger in rest["triggers"]:
            assert trigger["metadata"].pop("ignoreNullValues") == "false"
            assert trigger["metricType"] == "AverageValue"
            query = trigger["metadata"]["query"].replace(FILTERS[stage], "BUCKET").replace(f'"{stage}"', '"STAGE"')
            trigger["metadata"]["query"] = " ".join(query.split())
        assert float(rest["triggers"][0]["metadata"].pop("threshold")) >= 1
        assert rest["triggers"][1]["metadata"]["threshold"] == "1"
        assert (rest.pop("minReplicaCount") == 1) == (stage == "downloader")
        assert rest.pop("maxReplicaCount") <= 8
        assert rest.pop("scaleTargetRef") == {"name": stage}
        common.append(rest)
    assert all(one == common[0] for one in common)
    assert common[0]["fallback"]["replicas"] == 1
    assert common[0]["fallback"]["behavior"] == "currentReplicasIfHigher"


def test_prometheus_is_said_in_one_file(tmp_path: Path) -> None:
    """A library with another Prometheus patches the address of all stages at once."""
    overlay = tmp_path / "prnc"
    overlay.mkdir()
    address = "http://thanos.elsewhere.svc:9090"
    places = [f"/spec/triggers/{number}/metadata/serverAddress" for number in (0, 1)]
    patch = yaml.safe_dump([{"op": "replace", "path": place, "value": address} for place in places])
    whole = {
        "resources": [str(Path("../" * len(overlay.parts[1:])) / PRODUCTION.relative_to("/"))],
        "patches": [{"target": {"kind": "ScaledObject"}, "patch": patch}],
    }
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(whole))
    found = of_kind(rendered(overlay), "ScaledObject")
    assert {trigger["metadata"]["serverAddress"] for one in found for trigger in one["spec"]["triggers"]} == {address}
    assert len(found) == len(FILTERS)


def test_workers_that_come_and_go_are_given_time() -> None:
    """With workers that come and go each day, a book has longer to be finished, and the pod longer than the book."""
    for one in of_kind(rendered(PRODUCTION), "Deployment"):
        if component(one) == STAGE:
            grace = float(environment(rendered(PRODUCTION), one)["GRIN_PIPELINE_GLOBAL__GRACE"])
            assert grace == 540
            assert pod(one)["terminationGracePeriodSeconds"] == grace + 30


def _stage(name_: str = "decryptor", **changes: Any) -> Stage:
    return Stage(Autoscaler(_scaled()[name_] | changes), grace=540)


def _day(stage: Stage, a_minute: float, seconds: float, long: float = 5 * HOUR) -> Stage:
    """Nothing until six; books until noon, never more than 200 in line; then one that takes hours; then nothing."""
    for now in range(0, 24 * HOUR, STEP):
        if now == 6 * HOUR:
            stage.waiting += [seconds] * 100
        if 6 * HOUR <= now < 12 * HOUR and now % int(60 / a_minute) == 0 and len(stage.waiting) < 200:
            stage.waiting.append(seconds)
        if now == 12 * HOUR:
            stage.waiting.append(long)
        stage.turn(now)
    return stage


DAYS = [(4, 120), (2, 120), (1, 120), (3, 40), (0.5, 600)]


@pytest.mark.parametrize(("a_minute", "seconds"), DAYS)
def test_a_day(a_minute: float, seconds: float) -> None:
    """From none to the most and back; whoever comes stays a quarter of an hour; every book is done, long ones too."""
    stage = _day(_stage(), a_minute, seconds)
    assert max(stage.history) == stage.scaler.spec["maxReplicaCount"]
    assert stage.history[0] == stage.history[-1] == 0
    assert not stage.waiting
    assert max(stage.done) == 5 * HOUR
    assert stage.stays() >= HOUR / 4
    assert len(stage.turns()) <= 13
    # Of the choices whom to stop, the worst each time; and still few books are begun twice.
    assert stage.handed_back <= 3


def test_the_last_worker_stays() -> None:
    """While a book is in work that takes hours, there is always a worker; a quarter of an hour later, none."""
    stage = _stage()
    stage.waiting.append(9 * HOUR)
    for now in range(0, 10 * HOUR, STEP):
        stage.turn(now)
    assert stage.done == [9 * HOUR]
    assert stage.handed_back == 0
    assert set(stage.since(30, 9 * HOUR)) == {1}
    assert stage.history[-1] == 0


def test_without_the_second_trigger_it_would_not() -> None:
    """By the books that wait alone, a book that takes hours is begun anew for ever."""
    stage = _stage(triggers=_scaled()["decryptor"]["triggers"][:1])
    figures = stage.figures
    stage.figures = lambda: {"waiting": figures()["waiting"]}  # type: ignore[method-assign]
    stage.waiting.append(9 * HOUR)
    for now in range(0, 24 * HOUR, STEP):
        stage.turn(now)
    assert not stage.done
    assert stage.handed_back > 10


def test_without_figures_nothing_is_taken() -> None:
    """No Prometheus, or no orchestrator, for hours: all workers stay, and none comes to a stage that had none."""
    for books, most in ((60, 6), (0, 0)):
        stage = _stage()
        stage.waiting = [2 * HOUR] * books
        for now in range(0, 4 * HOUR, STEP):
            stage.blind = now > 1500
            stage.turn(now)
        assert max(stage.history) == most
        assert set(stage.since(1500)) == {most}


def test_a_stage_that_is_held_falls_to_one() -> None:
    """With a limit that holds, eight workers become one, one in five minutes; without it they come back."""
    stage = _stage()
    stage.waiting = [60] * 400
    for now in range(0, 8 * HOUR, STEP):
        stage.limited = 1200 < now < 5 * HOUR
        stage.turn(now)
    assert max(stage.history) == 8
    assert stage.since(5 * HOUR)[0] == 1
    assert stage.history[-1] == 0
    before = stage.since(0, 5 * HOUR)
    falls = [number * STEP for number, (one, next_) in enumerate(pairwise(before)) if next_ < one]
    assert len(falls) == 7
    assert all(later - earlier >= 300 for earlier, later in pairwise(falls))
    assert not stage.waiting


def test_downloaders_are_few_and_never_none() -> None:
    """There is always one, whose limit is GRIN's; however many books wait, there are four."""
    stage = _stage("downloader")
    for now in range(0, 2 * HOUR, STEP):
        stage.waiting += [30] * 500 if now == HOUR else []
        stage.turn(now)
    assert set(stage.history) == {1, 2, 3, 4}
    assert set(stage.since(0, HOUR)) == {1}
