"""The members that docs/reference/json.md promises, and those that an answer has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "json.md"
_TYPES = {"text": str, "number": int | float, "true or false": bool, "list": list, "object": dict, "any": object}


@dataclass(frozen=True)
class Member:
    """One row of a table."""

    type: str
    null: bool
    optional: bool

    def fits(self, value: object) -> bool:
        """Whether it may have this value."""
        if value is None:
            return self.null or self.type == "any"
        if isinstance(value, bool):
            return self.type in ("true or false", "any")
        return isinstance(value, _TYPES[self.type])


def promised() -> dict[str, dict[str, Member]]:
    """The tables: the members of each command by their paths."""
    sections = re.split(r"^## `(.*) --json`$", DOCUMENT.read_text(), flags=re.MULTILINE)[1:]
    return {name: dict(_members(text)) for name, text in zip(sections[::2], sections[1::2], strict=True)}


def _members(text: str) -> Iterator[tuple[str, Member]]:
    for path, kind, absent in re.findall(r"^\| `(\S+)` \| ([^|]+) \| ([^|]*)\|", text, re.MULTILINE):
        assert kind in _TYPES, kind
        yield path, Member(kind, "null" in absent, "may be absent" in absent)


def found(value: object, members: dict[str, Member], path: str = "") -> Iterator[tuple[str, Any]]:
    """Each member of an answer with its value, by its path in the table, or by its own where the table has none."""
    if isinstance(value, dict):
        for name, one in value.items():
            own = f"{path}.{name}".lstrip(".")
            known = own if own in members else f"{path}.*" if f"{path}.*" in members else own
            yield known, one
            # What may be anything is told elsewhere, or is whoever's it is.
            if known not in members or members[known].type != "any":
                yield from found(one, members, known)
    elif isinstance(value, list):
        for one in value:
            yield from found(one, members, f"{path}[]") if isinstance(one, dict) and f"{path}[" in str(members) else ()


def missing(value: object, members: dict[str, Member], path: str = "") -> Iterator[str]:
    """The members that should be in an object and are not."""
    if isinstance(value, list):
        for one in value:
            yield from missing(one, members, f"{path}[]")
    elif isinstance(value, dict):
        before = f"{path}." if path else ""
        for whole, member in members.items():
            name = whole.removeprefix(before)
            if whole.startswith(before) and re.fullmatch(r"\w+", name) and not member.optional and name not in value:
                yield whole
        for name, one in value.items():
            yield from missing(one, members, f"{before}{name}")
