"""What is on the board, read from the board alone: counts, workers, throughput, one book's story. Changes nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common import audit, board, durable, listing
from common.config import Settings
from common.heartbeat import Seen, seen
from common.json_line import encodable
from common.ledger import Event, Ledger, attempts
from services.orchestrator import bottleneck
from services.orchestrator.census import WINDOW, Depth, Oldest, mtime_of
from services.orchestrator.told import typed

# With more books done than this, throughput is what the running orchestrator has counted.
_MANY = 50_000
# No year has more than four digits; a file's time may have.
_LAST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
_STRANGER = "It is no token, by its name: nobody takes it."
_STRANGER_CURE = "Move it out of the board. A token is called BARCODE.json."


@dataclass(frozen=True)
class Row:
    """One token for `ls`: where, since when, attempts, and why it waits."""

    bucket: str
    state: str
    barcode: str
    since: str
    attempts: int
    reason: str
    cure: str
    worker: str | None
    seconds: float = 0.0
    """Since then, by the file server; below 0 while a deferred one is not due yet."""

    def as_dict(self) -> dict[str, Any]:
        """The members of the JSON line."""
        return vars(self)


class View:
    """Reads one board, as the configuration describes it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.root = settings.global_.pipeline_dir
        self.ledger = Ledger(self.root / "ledger")
        self.paths = {path.name: path for path in settings.bucket_paths()}
        inputs = {row.input_pipe for row in settings.filters}
        self._depth = Depth()
        self._oldest = {path: Oldest(path) for path in self.paths.values()}
        self.last = [path for path in self.paths.values() if path not in inputs]

    def counts(self) -> list[dict[str, Any]]:
        """A dict a bucket, in the order of the line: `name`, tokens in each state, and `strangers` that are none."""
        now = self.now()
        found = []
        for name, path in self.paths.items():
            figures = {state: self._depth.count(path, state, now) for state in board.STATES}
            tokens = {state: figure[0] for state, figure in figures.items()}
            found.append({"name": name, **tokens, "strangers": sum(figure[1] for figure in figures.values())})
        return found

    def status(self) -> dict[str, Any]:
        """Everything that `status --json` shows."""
        crew = self.workers()
        buckets = self.counts()
        for bucket in buckets:
            bucket["oldest_seconds"] = self.oldest(self.paths[bucket["name"]])
        done = self.done(buckets)
        rate = self.per_hour()
        left = self.left(buckets)
        facts = {
            "board": str(self.root),
            "buckets": buckets,
            "stages": [self._stage(row.name, crew) for row in self.settings.filters],
            "grin": self._told("grin", crew),
            "orchestrators": [_worker(w) for w in self.live("orchestrator", crew)],
            "done": done,
            "left": left,
            "failed": sum(bucket["failed"] for bucket in buckets),
            "dropped": listing.count(self.root / board.DROPPED, board.WAITING),
            "books_per_hour": rate,
            "eta_seconds": round(left / rate * 3600) if rate else None,
        }
        bottleneck.judge(facts, self.settings, self._told("flow", crew))
        return facts

    def done(self, buckets: list[dict[str, Any]]) -> int:
        """Books in the last bucket of each line."""
        names = {path.name for path in self.last}
        return sum(int(bucket["waiting"]) for bucket in buckets if bucket["name"] in names)

    def left(self, buckets: list[dict[str, Any]]) -> int:
        """Books that are still on their way: waiting, working or deferred before some stage."""
        names = {path.name for path in self.last}
        return sum(self.in_line(bucket) for bucket in buckets if bucket["name"] not in names)

    @staticmethod
    def in_line(bucket: dict[str, Any]) -> int:
        """Books of one bucket that a stage will take by itself, now or later."""
        return int(bucket["waiting"] + bucket["working"] + bucket["deferred"])

    def oldest(self, bucket: Path) -> float | None:
        """Seconds that the longest waiting token of a bucket has been there; None when none waits for a stage.

        In a bucket of very many it may, at a first look, be only the oldest of some of them.
        """
        since = None if bucket in self.last else self._oldest[bucket].since()
        return None if since is None else max(0.0, round(self.now() - since, 1))

    def per_hour(self) -> float | None:
        """Books an hour over the last quarter of an hour; None without data."""
        arrived: list[float] = []
        now = self.now()
        for bucket in self.last:
            if listing.count(bucket, board.WAITING, _MANY) >= _MANY:
                return self._counted_per_hour()
            times = (mtime_of(board.path_of(bucket, b, board.WAITING)) for b in listing.barcodes(bucket))
            arrived += [t for t in times if t and now - t < WINDOW]
        if len(arrived) < 2 or now - min(arrived) < 1:
            return None
        return round(len(arrived) / (now - min(arrived)) * 3600, 1)

    def _counted_per_hour(self) -> float | None:
        rates = (worker.facts.get("books_per_hour") for worker in self.live("orchestrator"))
        return next((float(rate) for rate in rates if rate is not None), None)

    def _told(self, what: str, crew: Sequence[Seen]) -> Any:
        """What a running orchestrator knows of GRIN's lists, or of the flow; None when none looks."""
        facts = (worker.facts.get(what) for worker in self.live("orchestrator", crew))
        return next((known for known in facts if isinstance(known, dict)), None)

    def workers(self) -> list[Seen]:
        """All workers that have a heartbeat file, each with the facts that are of their right types."""
        folder = self.root / "workers"
        found = seen(folder, self.now()) if folder.is_dir() else ()
        return [Seen(worker.worker, worker.age, typed(worker.facts)) for worker in found]

    def now(self) -> float:
        """The file server's time, which all mtimes are: a nameless file tells it."""
        try:
            return durable.server_time(self.root / "workers")
        except OSError:
            return time.time()

    def live(self, stage: str, crew: Sequence[Seen] | None = None) -> list[Seen]:
        """The workers of a stage whose heartbeat is fresh, of those seen a moment ago or of all as they are now."""
        seen_now = self.workers() if crew is None else crew
        return [w for w in seen_now if w.facts.get("stage") == stage and self.is_live(w)]

    def is_live(self, worker: Seen) -> bool:
        """Whether its heartbeat is fresh; one from the future, which a copied or touched file has, never would end."""
        return abs(worker.age) <= self.settings.global_.reap_after

    def rows(self, bucket: str | None = None, states: Sequence[str] = board.STATES) -> Iterator[Row]:
        """A row a token. Without a bucket's name, of all buckets but the last: what is done is not in the way."""
        now = self.now()
        for name, path in self.paths.items():
            if name == bucket or (bucket is None and path not in self.last):
                for state in states:
                    yield from self._rows(path, state, now)
                    yield from (self._stranger(name, stranger, now) for stranger in listing.strangers(path, state))

    def story(self, barcode: str) -> tuple[list[listing.Place], list[Event]]:
        """Where a book's token is, and what has happened to it."""
        places = listing.places(list(self.paths.values()), barcode)
        places += [
            listing.Place(path.parent, "seeding", path) for path in (self.root / "seeding").glob(f"{barcode}~*.json")
        ]
        dropped = board.path_of(self.root / board.DROPPED, barcode, board.WAITING)
        if os.path.lexists(dropped):
            places.append(listing.Place(self.root / board.DROPPED, board.DROPPED, dropped))
        try:
            return places, self.ledger.read(barcode)
        except OSError as error:
            return places, [_unreadable(error)]

    def _rows(self, bucket: Path, state: str, now: float) -> Iterator[Row]:
        if state == board.WORKING:
            tokens = [(c.barcode, listing.Place(bucket, state, c.path, c.worker)) for c in listing.claims(bucket)]
            for barcode, place in sorted(tokens, key=lambda token: token[0]):
                yield from self._row(barcode, place, now)
            return
        for barcode in listing.barcodes(bucket, state):
            yield from self._row(barcode, listing.Place(bucket, state, board.path_of(bucket, barcode, state)), now)

    def _row(self, barcode: str, place: listing.Place, now: float) -> Iterator[Row]:
        since = mtime_of(place.path)
        if since is None:
            return
        bucket, state = place.bucket, place.state
        stage = next((row.name for row in self.settings.filters if row.input_pipe == bucket), "")
        try:
            events = self.ledger.read(barcode)
        except OSError as error:
            events = [_unreadable(error)]
        reason, cure = audit.reason(events, state)
        tries, age = attempts(events, stage), round(now - since, 1)
        yield Row(bucket.name, state, barcode, iso(since), tries, reason, cure, place.worker, age)

    @staticmethod
    def _stranger(bucket: str, path: Path, now: float) -> Row:
        since = mtime_of(path) or 0.0
        age = round(now - since, 1)
        return Row(bucket, "stranger", path.name, iso(since), 0, _STRANGER, _STRANGER_CURE, None, age)

    def _stage(self, name: str, crew: Sequence[Seen]) -> dict[str, Any]:
        row = self.settings.row(name)
        live = self.live(name, crew)
        halted = next((w.facts for w in live if w.facts.get("halted")), {})
        pause = audit.paused(self.root, name)
        return {
            "name": name,
            "input": row.input_pipe.name,
            "output": row.output_pipe.name,
            "paused": pause is not None,
            "pause": pause,
            "halted": halted.get("halted"),
            "cure": halted.get("cure"),
            "limited": next((w.facts["limited"] for w in live if w.facts.get("limited")), None),
            "wip_limit": row.wip_limit,
            "workers": [_worker(w) for w in live],
        }


def _worker(worker: Seen) -> dict[str, Any]:
    facts = {key: worker.facts.get(key) for key in ("host", "pid", "port", "metrics", "started", "version")}
    return {"worker": encodable(worker.worker), "heartbeat_age": round(worker.age, 1), **facts}


def _unreadable(error: OSError) -> Event:
    return {"event": "failed", "reason": f"Its ledger cannot be read: {error}."}


def iso(since: float) -> str:
    """A time of the file server, as the ledger writes times; the last one that there is for what lies beyond."""
    return datetime.fromtimestamp(min(since, _LAST), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
