"""From a name in the configuration to an object: what ships with the modifier, or a user's own by module:Class.

A user's own may fail in any way while it is imported, made or asked; each is a sentence that names it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from common.errors import StageError, said

T = TypeVar("T")


class ActingError(Exception):
    """A modification or a package has failed in a way that nobody expected."""


def find(kind: str, name: str, shipped: Mapping[str, str], base: type[T]) -> type[T]:
    """The class of that name; ValueError has a sentence on why there is none. It is imported only now."""
    module, _, attribute = shipped.get(name, name).partition(":")
    if not (module and attribute):
        known = ", ".join(shipped)
        raise ValueError(f"There is no {kind} {name}: it is neither one of {known} nor of the form module:Class.")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise ValueError(f"The {kind} {name} cannot be imported: {error}. Is its folder on PYTHONPATH?") from None
    except (ImportError, AttributeError) as error:
        raise ValueError(f"The {kind} {name} cannot be imported: {error}.") from None
    except (Exception, SystemExit) as error:
        raise ValueError(f"The {kind} {name} cannot be imported: {named(error)}.") from error
    if isinstance(found, type) and issubclass(found, base):
        return found
    raise ValueError(f"{name} is no {kind}: let it be a subclass of {base.__module__}.{base.__name__}.")


def made(what: str, make: Callable[[], T]) -> T:
    """The object; ValueError has a sentence on why it cannot be made."""
    try:
        return make()
    except (Exception, SystemExit) as error:
        raise ValueError(f"The {what} cannot be made: {named(error)}.") from error


def problems(what: str, check: Callable[[], object]) -> list[str]:
    """The sentences of a check behind the name of what is checked, or one on how it failed."""
    try:
        found = check()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it may be anybody's
        return [f"{what}: its check failed: {named(error)}."]
    if isinstance(found, list | tuple) and all(isinstance(one, str) for one in found):
        return [f"{what}: {one}" for one in found]
    return [f"{what}: its check gave {said(found)[:100]!r}, which is no list of sentences."]


def named(error: BaseException) -> str:
    """The kind of an error and its words."""
    return f"{type(error).__name__}: {said(error)[:500]}".removesuffix(".").removesuffix(": ")


@contextmanager
def acting(what: str) -> Iterator[None]:
    """Whose error it is stands in it, unless it is a verdict, or the disk's or the memory's."""
    try:
        yield
    except (StageError, OSError, MemoryError):
        raise
    except Exception as error:
        raise ActingError(f"the {what} failed: {named(error)}") from error
