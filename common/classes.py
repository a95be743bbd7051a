"""From the `class` of a row to the Python class that does the work."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from common.errors import ConfigError
from common.settings import FilterRow

if TYPE_CHECKING:
    from common.stage import Stage

SHIPPED = ("Downloader", "Decryptor", "Extractor", "Modifier", "Uploader")


def stage_class(row: FilterRow) -> type[Stage]:
    """The class of a row: one of SHIPPED, or `package.module:Class`; ConfigError says why it cannot be used."""
    try:
        return find_class(row.class_)
    except ValueError as error:
        raise ConfigError([f"The class of stage {row.name} {error}"]) from None


def find_class(spec: str) -> type[Stage]:
    """The class that `spec` names; the ValueError's message is the end of a sentence that begins with the key."""
    from common.stage import Stage  # noqa: PLC0415 - common.stage needs the settings first

    module, name = _split(spec)
    try:
        found = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # noqa: BLE001 - a stage's module may fail in any way while it is imported
        raise ValueError(_import_failed(spec, module, error)) from None
    if found is None:
        raise ValueError(f"is {spec}, but the module {module} has no {name}.")
    if not (isinstance(found, type) and issubclass(found, Stage)):
        text = f"is {spec}, which is no stage: let it be a subclass of common.stage.Stage."
        raise ValueError(text)  # noqa: TRY004 - one kind of error for all that find_class refuses
    return found


def _split(spec: str) -> tuple[str, str]:
    if spec in SHIPPED:
        return f"services.{spec.lower()}.stage", spec
    module, _, name = spec.rpartition(":" if ":" in spec else ".")
    if not module.strip(".") or not name.isidentifier():
        shipped = ", ".join(SHIPPED)
        raise ValueError(f"is {spec}, which is neither one of {shipped} nor of the form package.module:Class.")
    return module, name


def _import_failed(spec: str, module: str, error: Exception) -> str:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and (module == missing or module.startswith(f"{missing}.")):
        return f"is {spec}, but {missing} is not found: name the folder that holds it in PYTHONPATH, or install it."
    if missing:
        return f"is {spec}, which needs {missing}: install it, or name the folder that holds it in PYTHONPATH."
    return f"is {spec}, whose module fails while it is imported: {type(error).__name__}: {error}."
