"""A YAML file with its line numbers, so that each problem can be told with the line it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from common.errors import ConfigError, refusal

Loc = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """Something wrong with one key of the configuration: where it is, and a sentence that never shows a value."""

    loc: Loc
    text: str
    line: int | None = None


@dataclass(frozen=True)
class Document:
    """A parsed mapping, the tree of nodes that it was made from, and the keys that stand in one mapping twice."""

    path: Path
    data: dict[str, Any]
    root: yaml.MappingNode
    repeated: list[Problem]

    def line(self, loc: Loc) -> int:
        """The line of the key at `loc`, or of the nearest enclosing one that the file has."""
        node: yaml.Node = self.root
        line = _line(self.root)
        for step in loc:
            found = _child(node, step)
            if found is None:
                break
            line, node = found
        return line


def read_document(path: Path) -> Document:
    """The file's one mapping; ConfigError when it cannot be read, is no YAML, or is no mapping."""
    loader = yaml.SafeLoader(_text(path))
    try:
        return _parse(path, loader)
    except yaml.YAMLError as error:
        # The parser's own words may quote the text, and the text may be a passphrase.
        raise ConfigError([f"{_place(path, error)}{_BROKEN}"]) from None
    except (ValueError, RecursionError):
        raise ConfigError([f"{path}:1: {_BROKEN}"]) from None
    finally:
        loader.dispose()


_BROKEN = (
    "This cannot be read as YAML from here on: look for a tab, a missing colon, wrong indentation, "
    "or a value that needs quotes (one that starts with * & ! % @ ` { [ or holds a colon)."
)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError([f"{path}:1: The file is not UTF-8 text; save it as UTF-8."]) from None
    except OSError as error:
        raise ConfigError([f"{path}:1: The file cannot be read: {refusal(error)}"]) from None


def _parse(path: Path, loader: yaml.SafeLoader) -> Document:
    root = loader.get_single_node()
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError([f"{path}:1: The file holds no mapping; it should have keys such as global: and filters:."])
    # Before the construction, which rewrites the nodes of merge keys.
    repeated = list(_duplicates(root, set()))
    return Document(path, loader.construct_document(root), root, repeated)


def _place(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"{path}:{mark.line + 1}: (column {mark.column + 1}) " if mark else f"{path}:1: "


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _child(node: yaml.Node, step: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return _line(node.value[step]), node.value[step]
    if isinstance(node, yaml.MappingNode):
        found = [(_line(key), value) for key, value in node.value if key.value == step]
        return found[-1] if found else None
    return None


def _duplicates(node: yaml.Node, seen: set[int]) -> Iterator[Problem]:
    # An alias leads to the same node again, and a recursive one to its own parent.
    if id(node) in seen or not isinstance(node, yaml.CollectionNode):
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        yield from _repeated_keys(node)
    for child in node.value:
        yield from _duplicates(child[1] if isinstance(child, tuple) else child, seen)


def _repeated_keys(node: yaml.MappingNode) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value in first:
            text = f"`{key.value}` stands here twice (first in line {first[key.value]}); keep one."
            yield Problem((), text, _line(key))
        elif isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            first[key.value] = _line(key)
