"""What lies in a project's volume, copied out of it, and what must hold of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from tests.containers.project import STAGES, Project, docker
from tests.e2e.conftest import Grin
from tests.e2e.test_pipeline import assert_all_home
from tests.helpers import Line

# An attempt that another one may follow has one of these behind it.
_ENDS = ("returned", "handed_back", "halted", "deferred")


class Copy(Line):
    """A copy on the host, read as the tests of the pipeline read their own folders. At rest it is exact."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.folder, self.root = folder, folder / "pipeline"
        self.grin = Grin(folder, {}, folder)
        folder.mkdir(exist_ok=True)
        for inside, name in (("pipeline", "pipeline"), ("processing", "processing"), ("grin", "library")):
            docker("cp", f"{project.name}-orchestrator-1:/demo/{inside}", str(folder / name))
        # Before the first book is home, there is none.
        docker("cp", f"{project.name}-orchestrator-1:/demo/done", str(folder / "done"), check=False)

    def claims(self) -> list[str]:
        """The names of all claims."""
        return [path.name for path in self.root.glob("*/working/*")]

    def taken_back(self) -> Counter[str]:
        """How many claims were taken back from the dead, by bucket."""
        every = (event for barcode in self.grin.books() for event in self.events(barcode))
        return Counter(event["bucket"] for event in every if event["event"] == "returned")

    def workers_of(self, stage: str) -> Counter[str]:
        """How many books each worker of a stage has done, or failed for good."""
        return Counter(
            event["worker"]
            for barcode in self.grin.books()
            for event in self.events(barcode)
            if event.get("stage") == stage and event["event"] in ("done", "failed")
        )


def assert_nothing_twice(copy: Copy) -> Counter[str]:
    """All is home, and each step of each good book counts once; how often a stage had to begin one again."""
    assert_all_home(copy)
    assert not copy.claims()
    again: Counter[str] = Counter()
    for barcode in set(copy.grin.books()) - copy.grin.poisoned():
        events = copy.events(barcode)
        assert [event["event"] for event in events].count("registered") == 1
        again.update({stage: _assert_once(events, stage) for stage in STAGES})
    return again


def _assert_once(events: list[dict[str, Any]], stage: str) -> int:
    """One worker's work counts; whoever began before had its claim taken back, or gave it back."""
    ended = {event.get("claim") for event in events if event["event"] in _ENDS}
    ours = [event for event in events if event.get("stage") == stage]
    begun = [event["claim"] for event in ours if event["event"] == "attempt"]
    done = [event["claim"] for event in ours if event["event"] == "done"]
    story = [f"{event['event']} {event.get('claim', '')}" for event in events]
    assert [claim for claim in begun if claim not in ended] == begun[-1:], story
    assert [claim for claim in done if claim not in ended] == begun[-1:], story
    return len(begun) - 1
