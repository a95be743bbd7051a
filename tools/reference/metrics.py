"""The table of metrics."""

from __future__ import annotations

from common.metrics import TABLE
from tools.reference.pages import code, table


def parts() -> dict[str, str]:
    """All of them, as they are served."""
    head = ["metric", "kind", "labels", "served by", "meaning"]
    rows = (
        [code(row.name), row.kind.__name__.lower(), ", ".join(row.labels), row.served_by, row.help] for row in TABLE
    )
    return {"metrics": table(head, rows)}
