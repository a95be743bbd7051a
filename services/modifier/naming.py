"""From a name in the configuration to a class: one that ships with the modifier, or a user's own by module:Class."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def find(kind: str, name: str, shipped: Mapping[str, str], base: type[T]) -> type[T]:
    """The class of that name; ValueError has a sentence on why there is none. It is imported only now."""
    module, _, attribute = shipped.get(name, name).partition(":")
    if not (module and attribute):
        known = ", ".join(shipped)
        raise ValueError(f"There is no {kind} {name}: it is neither one of {known} nor of the form module:Class.")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"The {kind} {name} cannot be imported: {error}.") from None
    if isinstance(found, type) and issubclass(found, base):
        return found
    raise ValueError(f"{name} is no {kind}: let it be a subclass of {base.__module__}.{base.__name__}.")
