"""Reads the variables of the configuration by pydantic-settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from common.settings import Shape
from common.variables import PREFIX


class _Variables(Shape, BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_prefix_target="all", env_nested_delimiter="__", validate_by_name=False
    )


class Source(EnvSettingsSource):
    """What these variables say, in the nesting of the file, when it is called."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(_Variables)
        self.env_vars = {name.lower(): value for name, value in environ.items() if value}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """What is no JSON stays text, which the models then refuse with the variable's name."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value
