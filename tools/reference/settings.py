"""The keys of config.yaml: types, defaults and limits by pydantic, meanings by the docstrings below the fields."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic.fields import FieldInfo

from common import settings
from common.sizes import parse_size
from tools.reference.pages import code, table

SECTIONS: dict[str, type[settings.Section]] = {
    "global": settings.GlobalSettings,
    "grin": settings.GrinSettings,
    "seed": settings.SeedSettings,
    "filters": settings.FilterRow,
    "board": settings.BoardSettings,
}
_KINDS: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Path: "path",
    SecretStr: "text, secret",
    list: "list",
    dict: "mapping",
}
_LIMITS = {"ge": "{} or more", "gt": "above {}", "le": "at most {}", "lt": "below {}"}
# A meaning that ends so tells a default that depends on what else is set.
_BY_DEFAULT = re.compile(r" By default ([^.]*)\.")


def parts() -> dict[str, str]:
    """One table a section."""
    head = ["key", "type", "default", "meaning"]
    return {name: table(head, _rows(model)) for name, model in SECTIONS.items()}


def meanings(model: type[settings.Section]) -> dict[str, str]:
    """The docstring below each field of a section, by the field's name."""
    tree = ast.parse(Path(settings.__file__).read_text(encoding="utf-8"))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == model.__name__)
    found = {}
    for field, after in pairwise(body):
        said = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else None
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(said, str):
            found[field.target.id] = " ".join(said.split())
    return found


def _rows(model: type[settings.Section]) -> Iterator[list[str]]:
    said = meanings(model)
    for name, field in model.model_fields.items():
        meaning = said.get(name, "")
        by_default = _BY_DEFAULT.search(meaning)
        default = by_default[1] if by_default else _default(field)
        key = str(field.validation_alias or name)
        yield [code(key), _type(field.annotation, field.metadata), default, _BY_DEFAULT.sub("", meaning).strip()]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is None or field.default in ([], {}, ""):
        return ""
    if isinstance(field.default, bool):
        return code(str(field.default).lower())
    return code(field.default)


def _type(annotation: Any, metadata: list[Any]) -> str:
    """What a value must be, in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0], [*arguments[1:], *metadata])
    if origin in (Union, UnionType):
        return ", or ".join(_type(one, metadata) for one in arguments if one is not NoneType)
    if origin is Literal:
        return " or ".join(code(one) for one in arguments)
    kind = _KINDS[origin or annotation]
    for mark in metadata:
        if isinstance(mark, BeforeValidator) and mark.func is parse_size:
            kind = "size"
        if isinstance(mark, AfterValidator) and mark.func.__name__ == "_http_url":
            kind = "URL"
    return ", ".join([kind, *_limits(metadata)])


def _limits(metadata: list[Any]) -> Iterator[str]:
    flat = [part for mark in metadata for part in getattr(mark, "metadata", [mark])]
    for key, words in _LIMITS.items():
        for mark in flat:
            if getattr(mark, key, None) is not None:
                yield words.format(f"{getattr(mark, key):,}".removesuffix(".0"))
