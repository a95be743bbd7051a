"""compose.yaml as Compose reads it: anchors and merges by YAML, variables by their defaults or as they are given."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}|\$\$")


@dataclass(frozen=True)
class Project:
    """A compose file: as it is written, and with its variables filled in."""

    raw: dict[str, Any]
    variables: Mapping[str, str]

    @classmethod
    def read(cls, path: Path = ROOT / "compose.yaml", variables: Mapping[str, str] | None = None) -> Project:
        """The file at `path`."""
        return cls(yaml.safe_load(path.read_text()), variables or {})

    @property
    def whole(self) -> dict[str, Any]:
        """The file with its variables filled in."""
        filled: dict[str, Any] = _filled(self.raw, self.variables)
        return filled

    @property
    def services(self) -> dict[str, dict[str, Any]]:
        """The services by name."""
        services: dict[str, dict[str, Any]] = self.whole["services"]
        return services

    def changed(self, place: str, value: object) -> Project:
        """A copy with another value at `a.b.c`; None takes the key away."""
        raw = copy.deepcopy(self.raw)
        *way, last = place.split(".")
        at = raw
        for key in way:
            # Anchors are one object in several services; a change is of one service alone.
            at[key] = copy.deepcopy(at[key])
            at = at[key]
        if value is None:
            del at[last]
        else:
            at[last] = value
        return Project(raw, self.variables)


def mounts(service: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """A service's volumes: source, target, and whether they are read-only. Only the short form is understood."""
    found = []
    for line in service.get("volumes", []):
        source, target, *mode = str(line).split(":")
        found.append((source, target, mode == ["ro"]))
    return found


def secrets(service: Mapping[str, Any]) -> dict[str, str]:
    """A service's secrets: name and where it finds them."""
    return {entry["source"]: entry["target"] for entry in service.get("secrets", [])}


def seconds(text: object) -> float:
    """A duration as Compose writes it, with one unit."""
    number, unit = re.fullmatch(r"(\d+)(s|m)", str(text)).groups()  # type: ignore[union-attr]
    return float(number) * {"s": 1, "m": 60}[unit]


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, variables) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, variables) for inner in value]
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: _one(match, variables), value)
    return value


def _one(match: re.Match[str], variables: Mapping[str, str]) -> str:
    name, default = match.groups()
    return "$" if name is None else variables.get(name) or default or ""
