"""The orchestrator's metrics, counted on the board at scrape time: no cached figure can go stale."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from common import board, durable
from common.metrics import TABLE
from services.orchestrator.view import View


class BoardCollector(Collector):
    """Depth of every bucket by state, oldest token, live workers, free disk."""

    def __init__(self, view: View) -> None:
        self.view = view

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
        yield from (tokens, oldest, workers, free)

    def _volumes(self) -> Iterator[tuple[str, Path]]:
        common = self.view.settings.global_
        yield "board", common.pipeline_dir
        yield "processing", common.processing_bucket
        if "://" not in common.done_bucket:
            yield "done", Path(common.done_bucket)


def registry(view: View) -> CollectorRegistry:
    """A registry that holds nothing but the board."""
    held = CollectorRegistry()
    held.register(BoardCollector(view))
    return held


def _family(name: str) -> GaugeMetricFamily:
    row = next(row for row in TABLE if row.name == name)
    return GaugeMetricFamily(row.name, row.help, labels=row.labels)
