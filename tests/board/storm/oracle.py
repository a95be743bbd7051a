"""What must hold after a storm, read from the disk alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from common import board, workfiles
from common.config import Settings
from common.ledger import Ledger
from tests.board.storm.stages import RECORD, work_log


@dataclass
class Story:
    """What the storm knows of itself: which tokens there were, and whom it struck."""

    inodes: dict[str, int] = field(default_factory=dict)
    killed: set[str] = field(default_factory=set)
    paused: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    """Processes that ended although nobody had killed them."""


@dataclass
class Verdict:
    """Books, and counts of what must not be; `repeated` must not be more than `blows`."""

    books: int = 0
    lost: int = 0
    stuck: int = 0
    doubled: int = 0
    torn: int = 0
    changed: int = 0
    repeated: int = 0
    unexplained: int = 0
    """Repeated although the worker before was neither killed nor paused; a pause may cause one, by waking up late."""
    blows: int = 0
    pauses: int = 0
    fenced: int = 0
    """Claims taken from a worker that was only paused."""
    swept: int = 0
    """Books' files that their worker had no time to remove: they go when an uploader starts."""
    left: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    stories: list[str] = field(default_factory=list)
    """What the ledgers say of the unexplained."""
    seconds: float = 0.0

    def wrong(self) -> list[str]:
        """Each violation as a sentence."""
        counts = ("lost", "stuck", "doubled", "torn", "changed")
        found = [f"{getattr(self, name)} books are {name}." for name in counts if getattr(self, name)]
        if self.repeated > self.blows:
            found.append(f"Work was repeated {self.repeated} times, after {self.blows} kills and pauses.")
        if self.unexplained > self.pauses:
            found.append(f"Work was repeated {self.unexplained} times although nobody had died.")
            found += self.stories[:5]
        if self.swept > self.blows:
            found.append(f"The files of {self.swept} books that have arrived were still there.")
        found += [f"Left over: {name}" for name in self.left[:10]]
        return found + [f"Ended by itself: {name}" for name in self.ended[:10]]

    def line(self) -> str:
        """The figures in one line."""
        return (
            f"{self.books} books, {self.blows - self.pauses} kills, {self.pauses} pauses, {self.seconds:.1f} s: "
            f"lost {self.lost + self.stuck}, doubled {self.doubled}, torn {self.torn}, inodes changed {self.changed}, "
            f"repeated {self.repeated} (unexplained {self.unexplained}), claims taken from the paused {self.fenced}, "
            f"left over {len(self.left)}"
        )


def judge(settings: Settings, story: Story) -> Verdict:
    """Look at everything."""
    verdict = Verdict(books=len(story.inodes), blows=len(story.killed) + len(story.paused), pauses=len(story.paused))
    verdict.ended = story.ended
    _judge_tokens(settings, story, verdict)
    _judge_ledgers(settings, story, verdict)
    verdict.torn += work_log(settings).stat().st_size % RECORD != 0
    # As an uploader does when it starts.
    verdict.swept = workfiles.sweep(settings.global_.processing_bucket, settings.bucket_paths()[-1])
    verdict.left += left_over(settings, story.killed)
    return verdict


def places(settings: Settings) -> dict[str, list[os.DirEntry[str]]]:
    """Every file of a token anywhere on the board, by barcode; temporary files of tokens too."""
    found: dict[str, list[os.DirEntry[str]]] = {}
    for bucket in settings.bucket_paths():
        for folder in (bucket, *(bucket / state for state in board.STATES[1:])):
            for entry in os.scandir(folder):
                if not entry.is_dir():
                    found.setdefault(entry.name.lstrip(".").partition("~")[0].removesuffix(".json"), []).append(entry)
    return found


def _judge_tokens(settings: Settings, story: Story, verdict: Verdict) -> None:
    last, found = settings.bucket_paths()[-1], places(settings)
    for barcode, inode in story.inodes.items():
        entries = found.pop(barcode, [])
        verdict.lost += not entries
        verdict.doubled += len(entries) > 1
        verdict.stuck += len(entries) == 1 and Path(entries[0].path).parent != last
        verdict.torn += sum(not _is_whole(Path(entry.path), barcode) for entry in entries)
        verdict.changed += {entry.inode() for entry in entries} != {inode}
    verdict.left += [entry.path for entries in found.values() for entry in entries]


def _is_whole(path: Path, barcode: str) -> bool:
    try:
        return bool(json.loads(path.read_bytes())["barcode"] == barcode)
    except (ValueError, TypeError, KeyError):
        return False


def _judge_ledgers(settings: Settings, story: Story, verdict: Verdict) -> None:
    ledger = Ledger(settings.global_.pipeline_dir / "ledger")
    stages = {row.name for row in settings.filters}
    for barcode in story.inodes:
        try:
            events = [json.loads(line) for line in ledger.path(barcode).read_bytes().splitlines()]
        except ValueError:
            verdict.torn += 1
            continue
        done = {event["stage"] for event in events if event["event"] == "done"}
        verdict.torn += events[0]["event"] != "registered" or done != stages
        verdict.fenced += sum(event["event"] == "returned" and event["worker"] in story.paused for event in events)
        _judge_repeats(barcode, events, story.killed.union(story.paused), verdict)


def _judge_repeats(barcode: str, events: list[dict[str, str]], struck: set[str], verdict: Verdict) -> None:
    before: dict[str, str] = {}
    for event in events:
        if event["event"] != "attempt":
            continue
        stage, worker = event["stage"], event["worker"]
        if stage in before:
            verdict.repeated += 1
        if before.get(stage, worker) not in struck and stage in before:
            verdict.unexplained += 1
            verdict.stories.append(_story(barcode, stage, events))
        before[stage] = worker


def _story(barcode: str, stage: str, events: list[dict[str, str]]) -> str:
    ours = [event for event in events if event.get("stage") == stage or event["event"] == "returned"]
    return f"{barcode} in {stage}: " + "; ".join(
        f"{event['event']} ({event['worker']}) {event.get('reason', '')}".strip() for event in ours
    )


def left_over(settings: Settings, killed: set[str]) -> Iterator[str]:
    """What nobody needs any more and nobody will remove."""
    root, common = settings.global_.pipeline_dir, settings.global_
    for folder in (common.processing_bucket, root / "seeding", root / "paused", common.temp_dir):
        yield from (str(path) for path in folder.iterdir())
    yield from (str(path) for path in root.glob("ledger/*/.*"))
    # The heartbeat files of the dead, half-written ones too, stay for a while, for a person to see that they died.
    for path in (root / "workers").iterdir():
        if path.name.lstrip(".").partition(".json")[0] not in killed:
            yield str(path)
