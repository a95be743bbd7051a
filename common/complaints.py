"""From what pydantic found to a sentence about one key."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from common.settings import FilterRow, Section, Shape, keys
from common.yaml_lines import Loc, Problem


def complaints(error: ValidationError) -> Iterator[Problem]:
    """A problem for each wrong key; values are never shown, for they may be secrets."""
    for detail in error.errors(include_url=False, include_input=False):
        loc = detail["loc"] + ((detail["ctx"]["key"],) if detail["type"] == "conflict" else ())
        yield Problem(loc, f"`{_dotted(loc)}` {_complaint(detail)}")


def _complaint(detail: ErrorDetails) -> str:
    kind, text = detail["type"], detail["msg"]
    if kind == "missing":
        return "is missing."
    if kind == "extra_forbidden":
        return f"is not a known key{_meant(detail['loc'])}"
    quotes = " (put it in quotes)" if kind == "string_type" else ""
    return f"{text.removeprefix('Value error, ').removeprefix('Input ')}{quotes}."


def _meant(loc: Loc) -> str:
    known = list(keys(_model(loc[:-1])))
    close = difflib.get_close_matches(str(loc[-1]), known, n=1)
    return f"; did you mean `{close[0]}`?" if close else f"; known are {', '.join(sorted(known))}."


def _model(loc: Loc) -> type[BaseModel]:
    if not loc:
        return Shape
    if loc[0] == "filters":
        return FilterRow
    field = keys(Shape).get(str(loc[0]))
    model = field.annotation if field else None
    return model if isinstance(model, type) and issubclass(model, BaseModel) else Section


def _dotted(loc: Loc) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc).removeprefix(".")
