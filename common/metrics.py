"""Every metric of the project in one table: name, kind, labels, help. No barcode, path or message is ever a label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.metrics import MetricWrapperBase

# A `_created` series beside each counter would double the number of series for nothing.
disable_created_metrics()  # type: ignore[no-untyped-call]

# From a no-op to a very large book on a slow disk, in seconds.
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    kind: type[MetricWrapperBase]
    labels: tuple[str, ...]
    help: str
    served_by: str


TABLE = (
    Row("grin_bucket_tokens", Gauge, ("bucket", "state"), "Tokens in a bucket, by state.", "orchestrator"),
    Row(
        "grin_bucket_oldest_token_age_seconds",
        Gauge,
        ("bucket",),
        "Age of the token that has waited longest in a bucket.",
        "orchestrator",
    ),
    Row("grin_stage_tokens_total", Counter, ("stage", "outcome"), "Tokens that left a worker, by outcome.", "stage"),
    Row("grin_stage_duration_seconds", Histogram, ("stage",), "Seconds a finished attempt took.", "stage"),
    Row("grin_stage_bytes_total", Counter, ("stage", "direction"), "Bytes read (in) and written (out).", "stage"),
    Row("grin_stage_paused", Gauge, ("stage", "reason"), "1 while the stage waits: operator or halt.", "stage"),
    Row("grin_stage_wip_limited", Gauge, ("stage",), "1 while a WIP limit or min_free holds it.", "stage"),
    Row("grin_workers", Gauge, ("stage",), "Workers with a fresh heartbeat.", "orchestrator"),
    Row("grin_requests_total", Counter, ("endpoint", "code"), "Requests to GRIN.", "stage"),
    Row("grin_queue_books", Gauge, ("list",), "Books on GRIN's lists, as last read.", "orchestrator"),
    Row("grin_disk_free_bytes", Gauge, ("volume",), "Bytes free on a volume.", "orchestrator"),
)


class Metrics:
    """The metrics that a stage's process serves, by name."""

    def __init__(self, served_by: str = "stage") -> None:
        self.registry = CollectorRegistry()
        self._metrics: dict[str, Any] = {}
        for row in TABLE:
            if row.served_by == served_by:
                more: dict[str, Any] = {"buckets": SECONDS} if row.kind is Histogram else {}
                self._metrics[row.name] = row.kind(row.name, row.help, row.labels, registry=self.registry, **more)

    def __getitem__(self, name: str) -> Any:
        return self._metrics[name]


class StageMetrics(Metrics):
    """What one worker counts."""

    def __init__(self, stage: str) -> None:
        super().__init__("stage")
        self.stage = stage
        self.passed = {"books": 0, "bytes_in": 0, "bytes_out": 0}
        """What ended well since the worker began."""
        for outcome in ("done", "deferred", "failed", "lost"):
            self["grin_stage_tokens_total"].labels(stage, outcome)
        for reason in ("operator", "halt"):
            self["grin_stage_paused"].labels(stage, reason)
        self["grin_stage_wip_limited"].labels(stage)
        # From zero: otherwise a worker's first book would be no increase of anything.
        self["grin_stage_duration_seconds"].labels(stage)
        for direction in ("in", "out"):
            self["grin_stage_bytes_total"].labels(stage, direction)

    def outcome(self, outcome: str) -> None:
        """Count a token that has left this worker."""
        self["grin_stage_tokens_total"].labels(self.stage, outcome).inc()

    def finished(self, seconds: float, bytes_in: int, bytes_out: int) -> None:
        """Count an attempt that ended well."""
        new = {"books": 1, "bytes_in": bytes_in, "bytes_out": bytes_out}
        self.passed = {name: self.passed[name] + more for name, more in new.items()}
        self["grin_stage_duration_seconds"].labels(self.stage).observe(seconds)
        self["grin_stage_bytes_total"].labels(self.stage, "in").inc(bytes_in)
        self["grin_stage_bytes_total"].labels(self.stage, "out").inc(bytes_out)

    def paused(self, reason: str, on: bool) -> None:
        """Say whether the stage claims nothing because of an operator or a halt."""
        self["grin_stage_paused"].labels(self.stage, reason).set(on)

    def wip_limited(self, on: bool) -> None:
        """Say whether a limit holds the stage back."""
        self["grin_stage_wip_limited"].labels(self.stage).set(on)

    def request(self, endpoint: str, code: str) -> None:
        """Count a request to GRIN."""
        self["grin_requests_total"].labels(endpoint, code).inc()
