"""`down`: stops what runs on this board from this machine, as Ctrl-C would, and says what is where.

Nothing is paused: each worker finishes its book or hands it back, and the next `up` goes on.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from common import audit
from common.config import Settings
from common.heartbeat import Seen
from services.orchestrator import processes, terminal
from services.orchestrator.processes import Process
from services.orchestrator.view import View

# `up` kills what has not ended so many seconds after its grace; then it needs a moment itself.
_MORE = 15.0
# Told twice in one breath a process may hear it once.
_BETWEEN = 1.0
# A service manager that starts `up` again at once has done so within so many seconds.
_AGAIN = 2.0
# Who is alive beats within so many times its rhythm.
_LONG_ENOUGH = 2.0
_ENGINE = (
    "with Compose `docker compose stop`, in Kubernetes `kubectl -n grin-pipeline scale deployment --all --replicas=0`"
)
# So many hosts are named; --json names all.
_SHOWN = 5
Say = Callable[[str], None]


@dataclass
class Report:
    """Who ended, who runs still, and why."""

    stopped: list[Process] = field(default_factory=list)
    running: list[tuple[Process, str]] = field(default_factory=list)
    elsewhere: list[Seen] = field(default_factory=list)

    @property
    def quiet(self) -> bool:
        """Whether nothing runs any more."""
        return not self.running and not self.elsewhere


class Down:
    """One tear-down of one board."""

    def __init__(self, settings: Settings, say: Say) -> None:
        self.settings = settings
        self.view = View(settings)
        self.say = say

    def run(self, timeout: float | None, *, at_once: bool = False) -> Report:
        """Tell all that runs here to drain, and wait for it."""
        grace = 0.0 if at_once else self.settings.global_.grace
        found, report = self._here(), Report()
        ours = [process for process in found if not process.is_main]
        report.running = [(process, _contained(process)) for process in found if process.is_main]
        told = [process for process in ours if not process.supervised and self._tell(process, report)]
        led = [process for process in ours if process.supervised]
        if report.running:
            report.running += [(process, "It ends with its orchestrator.") for process in led]
        else:
            told += led
        if told:
            self.say(
                f"{_named(told)}: told to drain. Each worker finishes its book, or hands it back after {grace:g} s."
            )
        limit = grace + _MORE if timeout is None else timeout
        late = self._hurry(told, limit) if at_once else processes.wait(told, limit)
        report.stopped = [process for process in told if process not in late]
        if report.stopped:
            time.sleep(_AGAIN)
        report.running += [(process, f"It had not ended after {limit:g} s; `down` again waits on.") for process in late]
        self._look_again(found, report)
        return report

    def plan(self) -> Report:
        """What `run` would find, and stop."""
        found = self._here()
        report = Report(stopped=[process for process in found if not process.is_main])
        report.running = [(process, _contained(process)) for process in found if process.is_main]
        report.elsewhere = self._elsewhere(found)
        return report

    def facts(self, report: Report) -> dict[str, Any]:
        """The object of `--json`."""
        buckets, common = self.view.counts(), self.settings.global_
        return {
            "board": str(self.view.root),
            "stopped": [_facts(process.seen) for process in report.stopped],
            "running": [{**_facts(process.seen), "why": why} for process, why in report.running],
            "elsewhere": [_facts(worker) for worker in report.elsewhere],
            "done": self.view.done(buckets),
            "left": self.view.left(buckets),
            "failed": sum(bucket["failed"] for bucket in buckets),
            "held": sum(bucket["held"] for bucket in buckets),
            "done_bucket": common.done_bucket,
            "processing_bucket": str(common.processing_bucket),
            "paused": [row.name for row in self.settings.filters if audit.paused(self.view.root, row.name) is not None],
        }

    def _here(self) -> list[Process]:
        return processes.of_this_machine(self.view.workers(), self.view.root / "logs")

    def _tell(self, process: Process, report: Report) -> bool:
        if process.tell():
            return True
        why = f"It belongs to another user: `sudo kill {process.pid}`, or `down` as that user."
        report.running.append((process, why))
        return False

    @staticmethod
    def _hurry(told: Sequence[Process], limit: float) -> list[Process]:
        late = processes.wait(told, _BETWEEN)
        for process in late:
            # What is supervised is told by its orchestrator.
            if not process.supervised:
                process.tell()
        return processes.wait(late, limit)

    def _look_again(self, before: Sequence[Process], report: Report) -> None:
        """Who is here now: a service manager may have started it again at once."""
        known = {process.seen.worker for process in before}
        now = self._here()
        again = "It has just been started again, by a service manager perhaps: stop it there (`systemctl stop …`)."
        report.running += [(process, again) for process in now if process.seen.worker not in known]
        report.elsewhere = self._elsewhere([*before, *now])

    def _elsewhere(self, here: Sequence[Process]) -> list[Seen]:
        names = {process.seen.worker for process in here}
        fresh = [one for one in self.view.workers() if self.view.is_live(one) and one.worker not in names]
        alike = [worker for worker in fresh if worker.facts.get("host") == socket.gethostname()]
        return [worker for worker in fresh if worker not in alike] + self._beating(alike)

    def _beating(self, alike: list[Seen]) -> list[Seen]:
        """Of those that say that they are here and are not to be seen: who beats. The others have just been killed."""
        if not alike:
            return []
        time.sleep(self.settings.global_.beat_every * _LONG_ENOUGH)
        ages = {worker.worker: worker.age for worker in self.view.workers()}
        return [worker for worker in alike if ages.get(worker.worker, worker.age) < worker.age]


def tell(facts: dict[str, Any], settings: Settings, say: Say, *, would: bool = False) -> None:
    """The report in sentences."""
    for one in facts["stopped"]:
        say(f"{_who(one)} {'would be stopped' if would else 'has ended'}.")
    for one in facts["running"]:
        say(f"{_who(one)} still runs. {one['why']}")
    if facts["elsewhere"]:
        hosts = sorted({str(one["host"]) for one in facts["elsewhere"]})
        some = ", ".join([*hosts[:_SHOWN], *(["…"] if len(hosts) > _SHOWN else [])])
        count = len(facts["elsewhere"])
        say(f"{count} more on other machines or in containers ({some}), which only their own engine stops: {_ENGINE}.")
    elif not facts["stopped"] and not facts["running"]:
        say("Nothing runs on this board.")
    figures = (
        f"{facts['done']:,} done, {facts['left']:,} on their way, {facts['failed']:,} failed, {facts['held']:,} held"
    )
    say(f"On the board {facts['board']}: {figures}.")
    say(f"Finished books are in {facts['done_bucket']}; the files of the others in {facts['processing_bucket']}.")
    for name in facts["paused"]:
        say(audit.pause_sentence(name, audit.paused(settings.global_.pipeline_dir, name) or {}))
    rest = (
        f"goes on with the {terminal.books(facts['left'])} on their way"
        if facts["left"]
        else "seeds and waits for new books"
    )
    say(f"The next `grin-pipeline up` {rest}; `grin-pipeline clean` shows what is left over.")


def _facts(worker: Seen) -> dict[str, Any]:
    return {"worker": worker.worker, **{key: worker.facts.get(key) for key in ("stage", "host", "pid")}}


def _who(one: dict[str, Any]) -> str:
    return f"{str(one['stage']).capitalize()} (process {one['pid']})"


def _named(told: Sequence[Process]) -> str:
    names = [f"{process.stage} (process {process.pid})" for process in told if not process.supervised]
    return ", ".join(names or [f"{len(told)} workers whose orchestrator has gone"]).capitalize()


def _contained(process: Process) -> str:
    return f"It is what its container runs (process {process.pid} in it), which would only be started again: {_ENGINE}."
