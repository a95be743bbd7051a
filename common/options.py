"""What is wrong with the options that a row gives its stage, as sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from common.settings import Section

# What Python calls a tuple.
_LIST = "should be a list, as in [a, b]"


def complaints(model: type[Section], options: Mapping[str, Any]) -> list[str]:
    """One sentence for each option that `model` does not take."""
    try:
        model.model_validate(options)
    except ValidationError as error:
        return [_sentence(model, problem["loc"], problem["type"], problem["msg"]) for problem in error.errors()]
    return []


def _sentence(model: type[Section], where: tuple[int | str, ...], kind: str, message: str) -> str:
    name = ".".join(str(part) for part in where)
    if kind == "extra_forbidden":
        return f"The option {name} is not known; there are {', '.join(model.model_fields)}."
    if kind == "missing":
        return f"The option {name} is required."
    if not name:
        return f"The options {message.removeprefix('Value error, ')}."
    message = _LIST if kind == "tuple_type" else message.removeprefix("Value error, ").removeprefix("Input ")
    return f"The option {name} {message}."
