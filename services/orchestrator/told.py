"""What workers tell by their files, as far as it is of its right type: a file on a board may be anybody's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.json_line import encodable
from services.orchestrator.flow import is_rate, is_sane

_TEXTS = ("stage", "host", "version", "started", "metrics", "halted", "cure", "limited")
# Numbers of processes and ports, each below this.
_NUMBERS = {"pid": 2**31, "port": 2**16}
# Whoever reads these judges their members.
_OBJECTS = ("flow", "passed")


def typed(told: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that are what they should be; any other counts as not told."""
    found: dict[str, Any] = {name: encodable(told[name]) for name in _TEXTS if isinstance(told.get(name), str)}
    found |= {name: told[name] for name in _OBJECTS if isinstance(told.get(name), dict)}
    found |= {name: told[name] for name, end in _NUMBERS.items() if _is_count(told.get(name)) and 0 < told[name] < end}
    if is_rate(told.get("books_per_hour")):
        found["books_per_hour"] = float(told["books_per_hour"])
    if isinstance(told.get("grin"), dict):
        found["grin"] = _grin(told["grin"])
    return found


def _grin(told: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {name: told[name] for name in ("new_versions", "asked") if _is_count(told.get(name))}
    if isinstance(told.get("lists"), dict):
        found["lists"] = {encodable(name): count for name, count in told["lists"].items() if _is_count(count)}
    if isinstance(told.get("trouble"), str):
        found["trouble"] = encodable(told["trouble"])
    return found


def _is_count(figure: object) -> bool:
    return isinstance(figure, int) and is_sane(figure)
