"""config.yaml, the environment and secret files, made into Settings; every problem is told at once, with its line.

Found at --config, else $GRIN_PIPELINE_CONFIG (the first file of several, as in $PATH), else ./config.yaml, else
/etc/grin-pipeline/config.yaml. Relative paths are relative to the file's folder; where $GRIN_PIPELINE_DATA is set, as
in containers, those of data are relative to that, and only `…_file` keys to the file's folder. Loading creates nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from common.classes import find_class, stage_class
from common.complaints import complaints
from common.errors import ConfigError
from common.layout import absolute, layout_problems, links
from common.settings import (
    BoardSettings,
    FilterRow,
    GlobalSettings,
    GrinSettings,
    Section,
    SeedSettings,
    Settings,
    Shape,
)
from common.variables import (
    PREFIX,
    from_environment,
    plain_value,
    secret_variables,
    unknown_variables,
    variable_for,
)
from common.yaml_lines import Document, Loc, Problem, read_document

__all__ = [
    "SEED_LISTS",
    "BoardSettings",
    "FilterRow",
    "GlobalSettings",
    "GrinSettings",
    "SeedSettings",
    "Settings",
    "load",
    "secret_variables",
    "stage_class",
]

PLACES = (Path("config.yaml"), Path("/etc/grin-pipeline/config.yaml"))
SEED_LISTS = frozenset({"converted", "available", "all_books"})
_SomeSection = TypeVar("_SomeSection", bound=Section)


def load(
    path: Path | None = None,
    *,
    classes: str | None = "all",
    environ: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
) -> Settings:
    """The settings; ConfigError holds all problems, each beginning with FILE:LINE or the variable's name.

    `classes` tells which rows' classes are imported: "all", one stage's name, or None. `secrets` holds further
    variables, handed over by a parent process instead of through the environment.
    """
    variables = {**(os.environ if environ is None else environ), **(secrets or {})}
    document = read_document(_find(path, variables))
    return _Loading(document, variables).settings(classes)


def _find(path: Path | None, environ: Mapping[str, str]) -> Path:
    listed = environ.get(f"{PREFIX}CONFIG", "").split(os.pathsep)
    named = [path] if path else [Path(place) for place in listed if place]
    places = named or list(PLACES)
    for place in places:
        if place.is_file():
            return Path.cwd() / place
    looked = " nor ".join(str(Path.cwd() / place) for place in places)
    wanted = f"neither {looked} is a file" if len(places) > 1 else f"{looked} is not a file"
    cure = (
        "Name another with --config, or copy config.yaml."
        if named
        else "Write one with `grin-pipeline init`, or name yours with --config."
    )
    raise ConfigError([f"There is no configuration: {wanted}. {cure}"])


class _Loading:
    """One file and one environment on their way to Settings."""

    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self.document = document
        self.environ = environ
        self.base = _data(environ, document.path)
        self.problems = [*document.repeated, *unknown_variables(environ)]
        self.overrides = from_environment(environ)
        self.data = {key: value for key, value in document.data.items() if value is not None}
        self._name_rows()
        self.data = _merged(self.data, self.overrides)

    def settings(self, classes: str | None) -> Settings:
        shape = self._shape()
        self._check_line()
        self._check_classes(classes)
        if shape is None or self.problems:
            raise ConfigError([self._sentence(problem) for problem in sorted(self.problems, key=self._order)])
        return _anchored(shape, self.document.path, self.base)

    def _name_rows(self) -> None:
        """Turn the variables of single rows, by stage name, into overrides by place."""
        wanted = self.overrides.get("filters")
        if not isinstance(wanted, dict):
            return
        rows = self.data.get("filters")
        places = {_variable_name(row): index for index, row in enumerate(rows if isinstance(rows, list) else [])}
        self.overrides["filters"] = {}
        for name, keys in wanted.items():
            if name not in places:
                self.problems.append(Problem((), f"{PREFIX}FILTERS__{name.upper()}…: there is no stage of that name."))
            else:
                self.overrides["filters"][places[name]] = _row_override(keys)

    def _shape(self) -> Shape | None:
        try:
            shape = Shape.model_validate(self.data, by_name=False, by_alias=True)
        except ValidationError as error:
            self.problems += complaints(error)
            return None
        if not shape.filters:
            self.problems.append(Problem(("filters",), "`filters` has no stage; add at least one row."))
        return shape

    def _check_line(self) -> None:
        section = self.data.get("global")
        board = section.get("pipeline_dir") if isinstance(section, dict) else None
        declared = absolute(board, self.base) if isinstance(board, str) else None
        self.problems += layout_problems(links(self.data.get("filters"), self.base), declared)

    def _check_classes(self, classes: str | None) -> None:
        rows = self.data.get("filters")
        for index, row in enumerate(rows if isinstance(rows, list) and classes else []):
            wanted = isinstance(row, dict) and classes in {"all", row.get("name")}
            if wanted and isinstance(row.get("class"), str):
                self.problems += _class_problem(index, row["class"])

    def _sentence(self, problem: Problem) -> str:
        loc = self._named(problem.loc)
        if problem.line is None and not problem.loc:
            return problem.text
        if problem.loc and _has(self.overrides, problem.loc) and (name := variable_for(loc, self.environ)):
            return f"{name}: {problem.text}"
        return f"{self.document.path}:{problem.line or self.document.line(problem.loc)}: {problem.text}"

    def _order(self, problem: Problem) -> int:
        return problem.line or self.document.line(problem.loc)

    def _named(self, loc: Loc) -> Loc:
        if isinstance(self.overrides.get("filters"), dict) and len(loc) > 1 and loc[0] == "filters":
            return ("filters", _variable_name(self.data["filters"][loc[1]]), *loc[2:])
        return loc


def _variable_name(row: Any) -> str:
    return str(row.get("name", "") if isinstance(row, dict) else "").lower().replace("-", "_")


def _row_override(keys: Any) -> Any:
    if isinstance(keys, dict):
        return {key: plain_value(value) if key == "options" else value for key, value in keys.items()}
    return plain_value(keys)


def _merged(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return {**below, **{key: _merged(below.get(key), value) for key, value in above.items()}}
    if isinstance(below, list) and isinstance(above, dict):
        return [_merged(item, above[place]) if place in above else item for place, item in enumerate(below)]
    return above


def _has(data: Any, loc: Loc) -> bool:
    for step in loc:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _class_problem(index: int, spec: str) -> Iterator[Problem]:
    try:
        find_class(spec)
    except ValueError as error:
        yield Problem(("filters", index, "class"), f"`filters[{index}].class` {error}")


def _data(environ: Mapping[str, str], path: Path) -> Path:
    """The folder that relative paths of data are relative to."""
    return absolute(environ.get(f"{PREFIX}DATA") or path.parent, path.parent)


def _anchored(shape: Shape, path: Path, base: Path) -> Settings:
    """The same settings with defaults beside the board and every path absolute."""
    given = {
        name: _absolute_files(getattr(shape, name), path.parent) for name in Shape.model_fields if name != "filters"
    }
    rows = [_absolute_paths(row, base) for row in shape.filters]
    return Settings(
        global_=_beside_the_board(given["global_"], base, rows[0].input_pipe.parent),
        grin=_absolute_paths(given["grin"], base),
        seed=_seed(given["seed"], base),
        filters=rows,
        board=_absolute_paths(given["board"], base),
        path=path,
        base=base,
    )


def _absolute_files(section: _SomeSection, folder: Path) -> _SomeSection:
    """Secrets and the like lie beside the configuration, wherever the data are."""
    files = {key: value for key, value in section if key.endswith("_file") and isinstance(value, Path)}
    return section.model_copy(update={key: absolute(value, folder) for key, value in files.items()})


def _seed(seed: SeedSettings, base: Path) -> SeedSettings:
    if seed.from_ is None or seed.from_ in SEED_LISTS:
        return _absolute_paths(seed, base)
    return _absolute_paths(seed.model_copy(update={"from_": str(absolute(seed.from_, base))}), base)


def _absolute_paths(section: _SomeSection, base: Path) -> _SomeSection:
    return section.model_copy(update={key: absolute(value, base) for key, value in section if isinstance(value, Path)})


def _beside_the_board(shared: GlobalSettings, base: Path, board: Path) -> GlobalSettings:
    said = shared.model_fields_set
    processing = shared.processing_bucket if "processing_bucket" in said else board.parent / "processing"
    done = shared.done_bucket if "done_bucket" in said else str(board.parent / "done")
    update: dict[str, Any] = {"pipeline_dir": board, "processing_bucket": processing}
    update["done_bucket"] = done if "://" in done else str(absolute(done, base))
    return _absolute_paths(shared.model_copy(update=update), base)
