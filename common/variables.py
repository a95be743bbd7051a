"""Keys of the configuration from GRIN_PIPELINE_… variables, nested by two underscores; an empty one counts as unset.

GRIN_PIPELINE_GLOBAL__LIBRARY=TESTLIB               one key of a section
GRIN_PIPELINE_FILTERS__DECRYPTOR__WORKERS=4         one key of the stage named decryptor
GRIN_PIPELINE_GRIN__ALLOWED_HOSTS='["a.example"]'   lists and mappings are JSON
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from common.settings import Section, Shape, keys
from common.yaml_lines import Loc, Problem

PREFIX = "GRIN_PIPELINE_"


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """What the variables say, in the nesting of the file; `filters` is a list (JSON) or a mapping by stage name."""
    if not any(name.upper().startswith(PREFIX) for name in environ):
        return {}
    # Imported only where there are any: it takes a tenth of the time in which a stage starts.
    from common.variables_source import Source  # noqa: PLC0415

    return Source(environ)()


def secret_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Those variables that set a secret key, to be kept out of children's environments."""
    return {name: value for name, value in environ.items() if _is_secret(name, value)}


def unknown_variables(environ: Mapping[str, str]) -> Iterator[Problem]:
    """A problem for each variable of an unknown section.

    Names without two underscores are left alone: Kubernetes sets GRIN_PIPELINE_SERVICE_HOST and the like by itself.
    """
    for name in environ:
        section, nested, _ = name.upper().removeprefix(PREFIX).partition("__")
        if name.upper().startswith(PREFIX) and nested and section.lower() not in keys(Shape):
            known = ", ".join(keys(Shape))
            yield Problem((), f"{name}: `{section.lower()}` is not a section of the configuration; there are {known}.")


def variable_for(loc: Loc, environ: Mapping[str, str]) -> str | None:
    """The variable that sets the key at `loc`, or one of those around it."""
    names = {name.upper(): name for name, value in environ.items() if value}
    for length in range(len(loc), 0, -1):
        name = PREFIX + "__".join(str(step).upper() for step in loc[:length])
        if name in names:
            return names[name]
    return None


def plain_value(text: Any) -> Any:
    """The options of a stage have no types of their own, so their variables are read as YAML: numbers, true, lists."""
    if isinstance(text, dict):
        return {key: plain_value(value) for key, value in text.items()}
    try:
        return yaml.safe_load(text) if isinstance(text, str) else text
    except (yaml.YAMLError, ValueError):
        return text


def _is_secret(name: str, value: str) -> bool:
    section, nested, key = name.upper().removeprefix(PREFIX).lower().partition("__")
    field = keys(Shape).get(section)
    if not name.upper().startswith(PREFIX) or field is None:
        return False
    secrets = list(_secret_keys(field))
    return key in secrets if nested else any(f'"{secret}"' in value for secret in secrets)


def _secret_keys(section: FieldInfo) -> Iterator[str]:
    model = section.annotation
    if isinstance(model, type) and issubclass(model, Section):
        yield from (name for name, field in model.model_fields.items() if field.annotation == SecretStr | None)
