"""Files in workers/ may be anybody's and hold anything: what is strange counts as not told, and breaks nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from services.orchestrator import crew, probes, render, render_lists, view
from services.orchestrator.probe_site import Site
from tests.unit.shown import Shown

WRONG: tuple[Any, ...] = (5, "x", True, ["x"], {"a": "x"}, [[]], {"a": {}}, None, -1, 1e-320, float("nan"), 10**400)
TEXTS = ("host", "version", "started", "metrics", "halted", "cure", "limited")
FACTS = ("stage", *TEXTS, "pid", "port", "books_per_hour", "flow", "grin", "passed", "worker")


def tell(shown: Shown, by: str, name: str = "a", **facts: object) -> Path:
    """Somebody puts this down as the file of a worker of a stage."""
    path = shown.root / "workers" / f"{name}.json"
    path.write_text(json.dumps({"stage": by, **facts}))
    return path


def looked_at(shown: Shown) -> dict[str, Any]:
    """What `status --json` says, after all that is for people was made of it as well."""
    facts = shown.view.status()
    render.as_text(render.status(facts))
    render.metrics(facts)
    render.as_text(render_lists.workers(crew.crew(shown.view)))
    # As any reader of JSON takes it: there is no NaN, and no half of a character.
    json.dumps(facts, allow_nan=False, ensure_ascii=False).encode()
    return facts


@pytest.fixture
def shown(tmp_path: Path) -> Shown:
    """A board with a book before each stage."""
    made = Shown(tmp_path)
    made.put("A1")
    made.put("A2", number=1)
    return made


@pytest.mark.parametrize("stage", ["orchestrator", "one"])
@pytest.mark.parametrize("fact", FACTS)
def test_a_fact_of_the_wrong_type(shown: Shown, stage: str, fact: str) -> None:
    """Whatever a fact is, the board can be counted and shown, to people and as JSON."""
    for wrong in WRONG:
        tell(shown, stage, **{fact: wrong})
        facts = looked_at(shown)
        workers = facts["orchestrators"] if stage == "orchestrator" else facts["stages"][0]["workers"]
        for worker in workers:
            assert {type(worker[name]) for name in ("host", "version", "started", "metrics")} <= {str, type(None)}
            assert {type(worker[name]) for name in ("pid", "port")} <= {int, type(None)}


@pytest.mark.parametrize("what", ["lists", "new_versions", "asked", "trouble"])
def test_grins_lists_of_the_wrong_type(shown: Shown, what: str) -> None:
    """What is told of GRIN's lists is numbers and one sentence, or it is left out."""
    for wrong in (*WRONG, *({"available": one} for one in WRONG)):
        tell(shown, "orchestrator", grin={"lists": {"converted": 3}, what: wrong})
        known = looked_at(shown)["grin"]
        assert {type(count) for count in known.get("lists", {}).values()} <= {int}
        assert {type(known.get(name)) for name in ("new_versions", "asked")} <= {int, type(None)}
        assert isinstance(known.get("trouble", ""), str)


@pytest.mark.parametrize(
    "rate", [1e-320, 1e-9, float("nan"), float("inf"), pytest.param(10**400, id="huge"), -1, True, "9"]
)
def test_a_rate_that_nothing_can_be_reckoned_from(shown: Shown, rate: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is unknown, and so is the time to go: of a stage's flow, and of the whole line's on a board of very many."""
    monkeypatch.setattr(view, "_MANY", 0)
    tell(shown, "orchestrator", flow={"one": {"books_per_hour": rate}, "two": {"books_per_hour": rate}})
    tell(shown, "orchestrator", "b", books_per_hour=rate)
    facts = looked_at(shown)
    assert [facts[name] for name in ("books_per_hour", "eta_seconds", "eta_seconds_range")] == [None] * 3
    tell(shown, "orchestrator", "b", books_per_hour=4)
    assert looked_at(shown)["eta_seconds"] == 1800


def test_halves_of_characters_are_written_out(shown: Shown, tmp_path: Path) -> None:
    """No half of a character leaves the board, from a fact or from a file's name."""
    half = os.fsdecode(os.fsencode(tmp_path) + b"/pipeline/workers/\xff.json")
    Path(half).write_text(json.dumps({"stage": "one", "halted": "a \ud83d b", "version": "\udcff"}))
    tell(shown, "orchestrator", grin={"trouble": "\ud83d", "lists": {"\udcff": 1}})
    facts = looked_at(shown)
    (stage, _), (worker,) = facts["stages"], facts["stages"][0]["workers"]
    assert (stage["halted"], worker["version"], worker["worker"]) == ("a \\ud83d b", "\\udcff", "\\udcff")
    assert facts["grin"] == {"trouble": "\\ud83d", "lists": {"\\udcff": 1}}


@pytest.mark.parametrize("age", [-3600, 3600, -4e8])
def test_a_heartbeat_of_another_time(shown: Shown, age: float) -> None:
    """One from the future is as dead as one from the past, wherever workers are shown."""
    path = tell(shown, "one")
    assert len(looked_at(shown)["stages"][0]["workers"]) == 1
    os.utime(path, (shown.now - age, shown.now - age))
    assert looked_at(shown)["stages"][0]["workers"] == []
    assert [hand.alive for hand in crew.crew(shown.view)] == [False]


def test_doctor_does_not_wait_for_a_heartbeat_of_another_time(shown: Shown) -> None:
    """A file from the future, that says to be another machine's, is no worker whose heartbeats could be measured."""
    path = tell(shown, "one", host="elsewhere")
    os.utime(path, (4e9, 4e9))
    (found,) = probes.machines(Site(shown.settings, shown.root, shown.root))
    assert "No worker on another machine is at work" in found.sentence
