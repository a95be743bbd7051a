"""How arguments are read: help by what one wants, and sentences with a next step instead of argparse's words."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from services.orchestrator import terminal

Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for it
# What `grin-pipeline` alone shows, in the order in which a person needs it; a test finds a command in no group.
GROUPS = {
    "The first hour": ("init", "doctor", "demo", "try"),
    "Run the line": ("up", "stage", "seed", "down"),
    "Look": ("status", "ls", "show", "failed", "shape", "workers", "report"),
    "Act on books": ("retry", "hold", "release", "drop"),
    "Act on stages": ("pause", "resume", "drain"),
    "GRIN": ("auth", "inventory", "convert"),
    "Care": ("audit", "clean", "export", "completion"),
}
_EXAMPLE = "Example: "


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong, what was perhaps meant, and what to do next."""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]
        """What argparse finds; nothing may be left over, neither here nor in a command of a command."""
        given = sys.argv[1:] if args is None else list(args)
        if not given and self.commands and self._is_root:
            self.print_help()
            self.exit(2)
        self._begins_with_option = bool(given) and given[0].startswith("-")
        found, left = super().parse_known_args(given, namespace)
        if left:
            self.error(self._left_over(left))
        return found, left

    def error(self, message: str) -> NoReturn:
        """Sentences on standard error, and exit code 2."""
        terminal.complain(*self._in_sentences(message))
        self.exit(2)

    def format_help(self) -> str:
        """For the whole program, its commands in groups instead of one long list."""
        return self._grouped() if self.commands and self._is_root else super().format_help()

    # --- what there is ---

    _begins_with_option = False

    @property
    def example(self) -> str:
        """The command line that its help shows."""
        return (self.epilog or "").removeprefix(_EXAMPLE) if (self.epilog or "").startswith(_EXAMPLE) else ""

    @property
    def commands(self) -> dict[str, Parser]:
        """The commands below this one by name."""
        found = (action.choices for action in self._actions if isinstance(action, Commands))
        return dict(next(found, {}) or {})

    @property
    def _is_root(self) -> bool:
        return " " not in self.prog

    @property
    def _options(self) -> list[str]:
        shown = (action for action in self._actions if action.help != argparse.SUPPRESS)
        return [option for action in shown for option in action.option_strings if option.startswith("--")]

    # --- help ---

    def _grouped(self) -> str:
        head = self._get_formatter()
        head.add_usage(self.usage, self._actions, self._mutually_exclusive_groups)
        head.add_text(self.description)
        tail = self._get_formatter()
        tail.start_section("Options")
        tail.add_arguments([action for action in self._actions if action.option_strings])
        tail.end_section()
        tail.add_text(self.epilog)
        return "\n".join([head.format_help(), *self._groups(), tail.format_help()])

    def _groups(self) -> Iterator[str]:
        helps = {action.dest: action.help or "" for action in self._subactions()}
        grouped = {name for names in GROUPS.values() for name in names}
        more = {"More": tuple(name for name in helps if name not in grouped)}
        for title, names in {**GROUPS, **more}.items():
            lines = [f"  {name:<12}{_fitting(helps[name], 66)}" for name in names if name in helps]
            if lines:
                yield "\n".join([f"{title}:", *lines, ""])

    def _subactions(self) -> Iterable[argparse.Action]:
        return next(action._get_subactions() for action in self._actions if isinstance(action, Commands))  # noqa: SLF001

    # --- what was wrong ---

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        if isinstance(action, Commands):
            here = f"There is no command {_quoted(self.prog, str(value))}."
        else:
            here = f"There is no {value!r} for {_name(action)}."
        there_are = "" if self._is_root else f" There are: {', '.join(known)}."
        raise argparse.ArgumentError(None, here + (_meant(str(value), known) or there_are))

    def _left_over(self, left: list[str]) -> str:
        word = next((one for one in left if one.startswith("-") and one != "-"), left[0])
        if word.startswith("-") and word != "-":
            name = word.partition("=")[0]
            return f"There is no option {name} for `{self.prog}`.{_meant(name, self._options)}"
        return f"There is one argument too many for `{self.prog}`: {word!r}."

    def _in_sentences(self, message: str) -> list[str]:
        if found := _MISSING.fullmatch(message):
            message = f"Something is missing: `{self.prog}` needs {self._missing(found[1].split(', '))}."
        for pattern, sentence in _SENTENCES:
            if found := pattern.fullmatch(message):
                message = sentence.format(*found.groups())
                break
        return [message[:1].upper() + message[1:], self._next_step()]

    def _missing(self, names: list[str]) -> str:
        if self.commands:
            return "a command" if self._is_root else f"one of {', '.join(self.commands)}"
        return ", ".join(name if name.startswith("-") else name.upper() for name in names)

    def _next_step(self) -> str:
        if self._is_root:
            behind = "Options stand behind the command. " if self._begins_with_option else ""
            return f"{behind}`{self.prog} --help` shows all commands."
        example = f"For example: `{self.example}`. " if self.example else ""
        return f"{example}`{self.prog} --help` tells more."


_MISSING = re.compile(r"the following arguments are required: (.*)", re.DOTALL)
_SENTENCES = tuple(
    (re.compile(pattern, re.DOTALL), sentence)
    for pattern, sentence in (
        (r"one of the arguments (.*) is required", "Something is missing: one of {0} must be given."),
        (r"argument (.*): not allowed with argument (.*)", "Only one of {0} and {1} can be given."),
        (r"argument (.*): expected .* arguments?", "The option {0} needs a value."),
        (r"argument (.*): invalid int value: (.*)", "The option {0} wants a whole number, and {1} is none."),
        (r"argument (.*): invalid \S+ value: (.*)", "The option {0} cannot be {1}."),
        (r"argument (.*): ignored explicit argument (.*)", "The option {0} takes no value; {1} is too much."),
        (r"argument (-.*?): (.*?)\.?", "The option {0}: {1}."),
        (r"argument (.*?): (.*?)\.?", "{0}: {1}."),
        (r"ambiguous option: (\S+) could match (.*)", "The option {0} may mean each of {1}; write it out."),
    )
)


def add_command(
    commands: Commands[Any],
    name: str,
    call: object,
    what: str,
    example: str,
    *,
    below: bool = False,
    config: bool = True,
) -> Parser:
    """A command with its description and its example; `below` another one, whose --config may stand before it."""
    parser: Parser = commands.add_parser(
        name,
        help=what.replace("%", "%%"),
        description=f"{what[0].upper()}{what[1:]}".rstrip(".?") + ".",
        epilog=_EXAMPLE + example,
    )
    words = "the configuration (default: $GRIN_PIPELINE_CONFIG, ./config.yaml)"
    # Suppressed below another command, so that it does not undo the --config that stands before this word.
    if config:
        parser.add_argument("--config", type=Path, default=argparse.SUPPRESS if below else None, help=words)
    parser.set_defaults(call=call)
    return parser


def _fitting(text: str, width: int) -> str:
    """The first clauses of a description, as many as fit a line."""
    while len(text) > width:
        ends = [text.rfind(sign, 0, len(text)) for sign in (": ", "; ", ", ", " (")]
        if max(ends) < 1:
            return text
        text = text[: max(ends)]
    return text


def _meant(word: str, known: Iterable[str]) -> str:
    # Imported here: hardly any command is mistyped.
    from difflib import get_close_matches  # noqa: PLC0415

    near = get_close_matches(word, list(known), 1)
    return f" Did you mean `{near[0]}`?" if near else ""


def _quoted(prog: str, word: str) -> str:
    return f"`{' '.join([*prog.split()[1:], word])}`"


def _name(action: argparse.Action) -> str:
    return "/".join(action.option_strings) or str(action.metavar or action.dest).upper()
