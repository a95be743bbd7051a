"""The reference is what the code says, and leaves nothing out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

from common import board, errors
from common.ledger import FORGIVEN, RESETS
from common.metrics import TABLE
from common.settings import Section, keys
from services.decryptor import stage as decryptor
from services.extractor import limits as extractor
from services.modifier import stage as modifier
from services.orchestrator.choosing import COMMANDS
from services.uploader import options as uploader
from tests.docs.pages import ROOT
from tools.reference import commands, settings
from tools.reference.__main__ import PAGES
from tools.reference.errors import sentences
from tools.reference.pages import REFERENCE, parts_of

# Labels whose values are names of the configuration, of the board, or of HTTP.
_CLEAR = {"stage", "bucket", "state", "endpoint", "code", "volume"}
CODE = [path for part in ("common", "services") for path in sorted((ROOT / part).rglob("*.py"))]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    """Each generated part of the reference is as it would be written now; else `make reference` writes it."""
    written, made = parts_of((REFERENCE / name).read_text()), PAGES[name]()
    assert written.keys() == made.keys()
    for part, text in made.items():
        lines = text.strip().splitlines()
        lacking = [line for line in lines if line not in written[part].splitlines()]
        assert lacking == [], f"{name}, {part}: run `make reference`"
        assert written[part].splitlines() == lines, f"{name}, {part}: run `make reference`"


@pytest.mark.parametrize("section", settings.SECTIONS)
def test_each_setting_says_what_it_means(section: str) -> None:
    """Each key has a meaning, in the docstring below its field."""
    model = settings.SECTIONS[section]
    assert [name for name in model.model_fields if not settings.meanings(model).get(name)] == []


def test_each_argument_says_what_it_means() -> None:
    """Each option of each command has its help; so has each argument that may be left out."""
    silent = [
        f"{words} {action.dest}"
        for words, parser in commands.parsers().items()
        for action in commands.actions(parser)
        if not action.help and not (action.required and not action.option_strings)
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("stage", "options"),
    [
        ("decryptor", decryptor.Options),
        ("extractor", extractor.Limits),
        ("modifier", modifier.Options),
        ("uploader", uploader.Options),
    ],
)
def test_each_option_of_a_stage_is_documented(stage: str, options: type[Section]) -> None:
    """Each option that a stage takes stands in its row of the page of stages."""
    rows = (REFERENCE / "stages.md").read_text().splitlines()
    row = next(row for row in rows if row.lower().startswith(f"| {stage} |"))
    assert [key for key in keys(options) if f"`{key}`" not in row] == []


def test_sections_of_the_reference_are_those_of_the_file() -> None:
    """No section of config.yaml is missing among those that are written down."""
    shipped = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert set(shipped) == set(settings.SECTIONS)


def test_each_error_is_in_the_tree() -> None:
    """The tree on the page names each class of common/errors.py."""
    tree = PAGES["errors.md"]()["tree"]
    classes = [name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(classes) > 6
    assert [name for name in classes if name not in tree] == []


def test_the_sentences_are_found() -> None:
    """Sentences come from every part of the code, with their cures where they stand beside them."""
    found = sentences()
    assert len(found) > 150
    assert {said.kind for said in found} == {"Retry", "Redo", "Reject", "Halt", "ConfigError"}
    whole = next(said for said in found if said.reason == "GRIN has no converted archive of this book now (404).")
    assert whole.cure == "It may have been pushed out of the converted pool: ask for its conversion again."


def test_each_label_of_a_metric_is_explained() -> None:
    """The values of labels that are no names of the configuration's are told below the table."""
    text = (REFERENCE / "metrics.md").read_text().partition("<!-- end -->")[2]
    named = {label for row in TABLE for label in row.labels} - {
        "stage",
        "bucket",
        "state",
        "endpoint",
        "code",
        "volume",
    }
    assert [label for label in named if f"`{label}`" not in text] == []


def test_each_event_of_the_ledger_is_documented() -> None:
    """Each event that the code appends to a ledger stands in the format's table, and no other does."""
    page = (REFERENCE / "board.md").read_text()
    told = page.partition("| event | |")[2].partition("\n\n")[0]
    documented = {
        name for row in told.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1] if row else "")
    }
    assert documented == _events()


def test_what_sets_attempts_to_nothing_is_documented() -> None:
    """The rule by which attempts are counted names exactly the events that the code goes by."""
    page = (REFERENCE / "board.md").read_text()
    rule = " ".join(page.partition("**How attempts count.**")[2].split("\n\n")[0].split())
    resets, forgiven = rule.partition(" set the count to 0")[0], rule.partition("its `halted`")[2]
    assert set(re.findall(r"`(\w+)`", resets)) == RESETS
    assert {"halted", "handed_back"} == FORGIVEN
    assert "`handed_back`" in forgiven


def test_each_state_and_folder_of_a_board_is_documented(tmp_path: Path) -> None:
    """Whatever a board is made of when it is new stands in the picture of the format."""
    picture = (REFERENCE / "board.md").read_text().partition("## Names")[0]
    board.prepare(tmp_path, [tmp_path / "01_incoming"])
    made = [path.name for path in tmp_path.rglob("*")]
    assert len(made) > 8
    assert [name for name in made if f" {name}/" not in picture] == []


def _events() -> set[str]:
    """What is given to an append to a ledger, or named as the event of a command."""
    found = {command.event for command in COMMANDS.values()} | RESETS | FORGIVEN
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                place = {"append": 1, "_record": 0}.get(node.func.attr)
                arguments = node.args[place:] if place is not None else []
                if node.func.attr == "_record" and path.name != "attempt.py":
                    continue
                if arguments and isinstance(arguments[0], ast.Constant) and isinstance(arguments[0].value, str):
                    found.add(arguments[0].value)
    return found
