"""Usage, arguments, defaults and example of each command, as its parser has them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from functools import cache

from services.orchestrator.cli import _parser
from tools.reference.pages import code, table

_DEFAULT = re.compile(r"\s*\(default: ([^;()]*)\)|^default: (.*)$")
_EXAMPLE = re.compile(r"^Examples?: ")
# Every command has these, and they are told once.
_EVERYWHERE = ("--help", "--config")


@cache
def parsers() -> dict[str, argparse.ArgumentParser]:
    """Each command's parser by its words, such as `auth login`, in the order of --help."""
    return dict(_below("", _parser()))


def _below(words: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in actions(parser):
        if isinstance(action.choices, dict):
            for name, one in action.choices.items():
                yield f"{words} {name}".strip(), one
                yield from _below(f"{words} {name}".strip(), one)


def actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """What a parser takes."""
    return parser._actions  # noqa: SLF001 - there is no other way to ask a parser what it takes


def parts() -> dict[str, str]:
    """A section a command."""
    whole = (_section(words, one) for words, one in parsers().items() if not dict(_below(words, one)))
    return {"options": "\n\n".join(whole)}


def _section(words: str, parser: argparse.ArgumentParser) -> str:
    taken = [action for action in actions(parser) if not _left_out(action)]
    pieces = [f"### {words}", parser.description or "", f"```text\n{_usage(words, taken)}\n```"]
    if taken:
        pieces.append(table(["argument", "default", "meaning"], map(_row, taken)))
    if parser.epilog and _EXAMPLE.match(parser.epilog):
        pieces += ["For example:", f"    {_EXAMPLE.sub('', parser.epilog)}"]
    return "\n\n".join(filter(None, pieces))


def _left_out(action: argparse.Action) -> bool:
    hidden = action.help == argparse.SUPPRESS or isinstance(action.choices, dict)
    return hidden or any(option in _EVERYWHERE for option in action.option_strings)


def _usage(words: str, taken: list[argparse.Action]) -> str:
    """The command with all that it takes; what may be left out is in brackets."""
    named = [action for action in taken if action.option_strings]
    placed = [action for action in taken if not action.option_strings]
    told = [_shown(action) if action.required else f"[{_shown(action)}]" for action in named]
    told += [_place(action) for action in placed]
    return " ".join(["grin-pipeline", words, *told])


def _shown(action: argparse.Action) -> str:
    return f"{action.option_strings[0]}{_value(action)}"


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    return f" {action.metavar or action.dest.upper()}"


def _place(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest).upper()
    return {"*": f"[{name}…]", "?": f"[{name}]", "+": f"{name}…"}.get(str(action.nargs), name)


def _row(action: argparse.Action) -> list[str]:
    names = [f"{option}{_value(action)}" for option in action.option_strings] or [_place(action).strip("[]")]
    meaning = (action.help or "") % {"default": action.default, "prog": "grin-pipeline"}
    default = _DEFAULT.search(meaning)
    return [", ".join(map(code, names)), _default(action, default), _DEFAULT.sub("", meaning).strip() or meaning]


def _default(action: argparse.Action, said: re.Match[str] | None) -> str:
    if said:
        return code(said[1] or said[2])
    value = ":".join(map(str, action.default)) if isinstance(action.default, tuple) else action.default
    return "" if value in (None, False, [], "", argparse.SUPPRESS) else code(value)
