"""The template of the keys under which files lie in the store."""

from __future__ import annotations

import string

_FIELDS = ("barcode", "name", "library")


def check_template(template: str) -> str:
    """The template itself; ValueError says what is wrong with it."""
    try:
        used = [(field, spec) for _, field, spec, _ in string.Formatter().parse(template) if field is not None]
        parts = fill(template, "b", "n", "l").split("/")
    except (ValueError, LookupError, AttributeError) as error:
        raise ValueError(f"should be a template such as {{barcode}}/{{name}} ({error})") from None
    if unknown := [field for field, _ in used if field not in _FIELDS]:
        raise ValueError(f"should use only {', '.join(_FIELDS)}, and not {unknown[0]}")
    if not {("barcode", ""), ("name", "")} <= set(used):
        raise ValueError("should have {barcode} and {name}, or books would overwrite each other")
    if {"", ".", ".."} & set(parts):
        raise ValueError("should stay below the done bucket, without empty parts")
    return template


def fill(template: str, barcode: str, name: str, library: str) -> str:
    """The key of a book's file."""
    return template.format(barcode=barcode, name=name, library=library)
