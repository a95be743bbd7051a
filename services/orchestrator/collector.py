"""The orchestrator's metrics, counted on the board at scrape time: no cached figure can go stale."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from common import board, durable
from common.metrics import TABLE
from services.orchestrator.view import View


class BoardCollector(Collector):
    """Depth of every bucket by state, oldest token, live workers, free disk; `books` are GRIN's lists as last read."""

    def __init__(self, view: View, books: Callable[[], Mapping[str, int]]) -> None:
        self.view = view
        self.books = books

    def collect(self) -> Iterator[Metric]:
        """Count everything once."""
        tokens, oldest = _family("grin_bucket_tokens"), _family("grin_bucket_oldest_token_age_seconds")
        for bucket in self.view.counts():
            for state in board.STATES:
                tokens.add_metric([bucket["name"], state], bucket[state])
            oldest.add_metric([bucket["name"]], self.view.oldest(self.view.paths[bucket["name"]]) or 0.0)
        workers, free = _family("grin_workers"), _family("grin_disk_free_bytes")
        for row in self.view.settings.filters:
            workers.add_metric([row.name], len(self.view.live(row.name)))
        for volume, path in self._volumes():
            free.add_metric([volume], durable.free_bytes(path))
        queued = _family("grin_queue_books")
        for name, count in self.books().items():
            queued.add_metric([name], count)
        yield from (tokens, oldest, workers, free, queued)

    def _volumes(self) -> Iterator[tuple[str, Path]]:
        common = self.view.settings.global_
        yield "board", common.pipeline_dir
        yield "processing", common.processing_bucket
        if "://" not in common.done_bucket:
            yield "done", Path(common.done_bucket)


def registry(view: View, books: Callable[[], Mapping[str, int]] = dict) -> CollectorRegistry:
    """A registry that holds nothing but the board, and what is known of GRIN's lists."""
    held = CollectorRegistry()
    held.register(BoardCollector(view, books))
    return held


def _family(name: str) -> GaugeMetricFamily:
    row = next(row for row in TABLE if row.name == name)
    return GaugeMetricFamily(row.name, row.help, labels=row.labels)
