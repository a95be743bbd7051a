"""`completion`: what a shell needs to finish commands, options, choices, and the names that are on the board."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

from common import board, config, listing
from common.config import Settings
from common.errors import ConfigError
from services.orchestrator import terminal
from services.orchestrator.parsing import Parser

# Nobody reads a longer list, and whoever has pressed Tab does not wait for one.
_MOST, _PATIENCE = 200, 0.5
_SHELLS = ("bash", "zsh", "fish")
_HELPER = "_grin_pipeline_names"
# What an argument takes, by its name in the parser: see also `_kind`.
_KINDS = {"bucket": "buckets", "at": "buckets", "stage": "stages", "barcode": "barcodes", "name": "stages"}
_FOLDERS, _FILES = {"folder", "input"}, {"config", "output", "source", "client_secret"}
_FILES |= {"done_bucket", "passphrase_file", "credentials_file"}
# $1 is the kind of names, $2 the word as it was typed: unquoted here, and each answer is quoted again.
_BASH = (
    _HELPER
    + r"""() {
  local program="${COMP_WORDS[0]/#\~/$HOME}" word="${2//\\/}" config=() at
  for ((at = 1; at < COMP_CWORD; at++)); do
    [[ "${COMP_WORDS[at]}" == --config ]] && config=(--config "${COMP_WORDS[at + 1]/#\~/$HOME}")
  done
  command "$program" completion "${config[@]}" --names "$1" --begin "$word" --quoted 2>/dev/null
}
"""
)
_ZSH = (
    _HELPER
    + r"""() {
  local -a names config
  local at=${words[(i)--config]}
  (( at < CURRENT - 1 )) && config=(--config ${(Q)words[at + 1]})
  names=(${(f)"$(command grin-pipeline completion $config --names $1 --begin ${(Q)PREFIX} 2>/dev/null)"})
  compadd -a names
}
"""
)


def add_commands(command: Any, root: Parser) -> None:
    """The one command; `root` is the parser of all commands, and `command` makes one."""
    what = "print what a shell needs to complete commands, options, and the names on the board"
    example = "grin-pipeline completion bash > ~/.local/share/bash-completion/completions/grin-pipeline"
    parser = command("completion", partial(_completion, root), what, example)
    parser.add_argument("shell", nargs="?", choices=_SHELLS, help=f"which shell: {', '.join(_SHELLS)}")
    kinds = sorted({*_KINDS.values()})
    # What the printed script asks for when Tab is pressed.
    parser.add_argument("--names", choices=kinds, help=argparse.SUPPRESS)
    parser.add_argument("--begin", default="", help=argparse.SUPPRESS)
    parser.add_argument("--quoted", action="store_true", help=argparse.SUPPRESS)


def _completion(root: Parser, arguments: argparse.Namespace) -> int:
    if arguments.names is not None:
        for name in names(config.load(arguments.config, classes=None), arguments.names, arguments.begin):
            terminal.tell(quoted(name) if arguments.quoted else name)
    elif arguments.shell is None:
        raise ConfigError([f"For which shell? `grin-pipeline completion bash`; there are {', '.join(_SHELLS)}."])
    else:
        terminal.tell(script(root, arguments.shell))
    return 0


def script(root: Parser, shell: str) -> str:
    """The completion script of a shell."""
    # Imported here: no other command needs it.
    import shtab  # noqa: PLC0415

    _mark(root, shtab)
    complete: Any = shtab.complete
    return str(complete(root, shell, preamble={"bash": _helpers(_BASH), "zsh": _helpers(_ZSH)}))


def names(settings: Settings, kind: str, begin: str) -> Iterator[str]:
    """The names of this kind that begin so: of books no more than anybody reads, nor than are quickly found."""
    every = {
        "barcodes": _barcodes(settings),
        "buckets": (path.name for path in settings.bucket_paths()),
        "stages": (row.name for row in settings.filters),
    }
    # What begins like an option would be taken for one.
    found = (name for name in every[kind] if name.startswith(begin) and not name.startswith("-"))
    return islice(found, _MOST)


def quoted(name: str) -> str:
    """A name as bash reads it back, every special character with a backslash."""
    return re.sub(r"([^\w.-])", r"\\\1", name, flags=re.ASCII)


def _barcodes(settings: Settings) -> Iterator[str]:
    """The books on the board, those that need a person first, for as long as one waits for Tab."""
    end = time.monotonic() + _PATIENCE
    states = (board.FAILED, board.HELD, board.DEFERRED, board.WORKING, board.WAITING)
    folders = [(bucket, state) for state in states for bucket in settings.bucket_paths()]
    for bucket, state in [*folders, (settings.global_.pipeline_dir / board.DROPPED, board.WAITING)]:
        for barcode in listing.barcodes(bucket, state):
            yield barcode
            if time.monotonic() > end:
                return


def _mark(parser: Parser, shtab: Any) -> None:
    """Tell each argument what completes it."""
    for action in parser._actions:  # noqa: SLF001 - there is no other way to ask a parser what it takes
        if (kind := _kind(parser, action)) and not action.choices:
            action.complete = _asked(kind)  # type: ignore[attr-defined]
        elif action.dest in _FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif action.dest in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    for below in parser.commands.values():
        _mark(below, shtab)


def _kind(parser: Parser, action: argparse.Action) -> str:
    """What names an argument takes; the books of an option such as `seed --barcode` are on no board yet."""
    new = action.dest == "barcode" and action.option_strings
    return "" if new or parser.commands else _KINDS.get(action.dest, "")


def _asked(kind: str) -> dict[str, str]:
    program = f"(grin-pipeline completion --names {kind} --begin (commandline -ct) 2>/dev/null)"
    return {"bash": f"{_HELPER}_{kind}", "zsh": f"{_HELPER}_{kind}", "fish": program}


def _helpers(function: str) -> str:
    """That function, and one of a single argument for each kind."""
    kinds = sorted({*_KINDS.values()})
    return function + "".join(f'{_HELPER}_{kind}() {{ {_HELPER} {kind} "$1"; }}\n' for kind in kinds)
