"""How a manifest is read: what is not known is refused, never passed over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "m": 1e-3}


class RefusedError(Exception):
    """The manifest asks for what Kubernetes would not do, or what the player cannot do as Kubernetes would."""


def only(what: str, given: Mapping[str, Any], *known: str, left_out: Iterable[str] = ()) -> None:
    """Refuse a key that nobody reads."""
    if unknown := ", ".join(sorted(set(given) - set(known) - set(left_out))):
        raise RefusedError(f"{what}: the player does not know {unknown}. Teach it, or take it out of the manifest.")


def just(what: str, value: object, *possible: object) -> None:
    """Refuse a value that the player does not play."""
    if value not in possible:
        raise RefusedError(f"{what}: the player plays {', '.join(map(str, possible))}, not {value}.")


def quantity(text: str | float) -> float:
    """A number of Kubernetes: 512Mi, 50m, 2."""
    told = str(text)
    unit = next((unit for unit in _UNITS if told.endswith(unit)), "")
    return float(told.removesuffix(unit)) * (_UNITS[unit] if unit else 1)


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector chooses something with these labels; an empty one chooses all."""
    only("A selector", selector, "matchLabels", "matchExpressions")
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(one, labels) for one in selector.get("matchExpressions") or ())


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    only("An expression", expression, "key", "operator", "values")
    value, values = labels.get(expression["key"]), expression.get("values", ())
    is_there, is_in = value is not None, value in values
    held = {"In": is_in, "NotIn": not is_in, "Exists": is_there, "DoesNotExist": not is_there}
    return held[expression["operator"]]
