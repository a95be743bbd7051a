"""Every command in the documents is one that there is; what can be run is run, on a board in the middle of a day."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from services.orchestrator.cli import _parser
from tests.docs.pages import PAGES, ROOT, Ours, Typed, inline, ours, typed
from tests.docs.standing import Standing

# These are typed, in order and with what they need, by a test of their own.
TYPED_ELSEWHERE = {
    "docs/tutorial/first-books.md": "walk.py",
    "docs/how-to/add-a-stage.md": "test_own_stage_page.py",
    "docs/how-to/add-a-modification.md": "test_own_modification_page.py",
    "docs/how-to/two-libraries.md": "test_two_libraries_page.py",
}
NOT_RUN = {
    ("up",): "runs until it is stopped; the tutorial is typed with it",
    ("stage",): "runs until it is stopped; tests/board starts stages",
    ("status", "--watch"): "runs until it is stopped",
    ("doctor",): "takes seconds; the tutorial is typed with it",
    ("demo",): "takes half a minute of two processors; continuous integration runs it",
    ("auth", "login"): "waits for a person in a browser; tests/e2e/test_auth.py is one",
    ("init",): "writes into a folder of the reader's; the tutorial is typed with it",
    ("try",): "needs a stage of the reader's own; the how-to that makes one is typed",
}
ENDS_WITH_1 = {
    ("report", "32101081977728", "32101080211160"): "neither of them is held",
    ("report", "-"): "nor are those of the list",
    ("convert", "32101081977728"): "GRIN does not have it",
}
# What is not ours is not run: it needs an engine, a cluster or a registry, and has tests of its own.
OTHERS = {
    "docker": "tests/containers plays the compose project, tests/deploy reads the pages",
    "kubectl": "tests/kubernetes plays the demo with it, and reads the pages",
}

LINES = [line for page in PAGES for line in typed(page)]
PARSER = _parser()
CALLS = {call: line.where for line in LINES for call in ours(line)}


def _begins(call: Ours, beginnings: dict[tuple[str, ...], str]) -> bool:
    return any(call.arguments[: len(beginning)] == beginning for beginning in beginnings)


def _runs() -> list[tuple[str, Ours]]:
    elsewhere = {call for line in LINES if line.where.partition(":")[0] in TYPED_ELSEWHERE for call in ours(line)}
    rest = {call: where for call, where in CALLS.items() if call not in elsewhere and not _begins(call, NOT_RUN)}
    return sorted((where, call) for call, where in rest.items())


def test_the_documents_are_full_of_commands() -> None:
    """The tests below are about something: more than fifty different commands, and most of them are run."""
    assert len(CALLS) > 50
    assert len(_runs()) > 40


def test_each_command_is_one_that_there_is() -> None:
    """The parser takes each command as it stands in a block, with all its options."""
    refused = [
        f"{where}: grin-pipeline {' '.join(call.arguments)}" for call, where in CALLS.items() if not _taken(call)
    ]
    assert refused == []


def test_commands_in_sentences_are_ones_that_there_are() -> None:
    """So it does those with options or barcodes within a sentence."""
    lines = [line for page in PAGES for line in inline(page) if line.text.startswith("grin-pipeline ")]
    assert len(lines) > 30
    calls = [(line, call) for line in lines for call in ours(line) if _is_whole(line.text)]
    assert [f"{line.where}: {line.text}" for line, call in calls if not _taken(call)] == []


@pytest.mark.parametrize(("where", "call"), _runs(), ids=[" ".join(call.arguments) for _, call in _runs()])
def test_each_command_does_what_it_should(standing: Standing, where: str, call: Ours) -> None:
    """It ends with 0, or with 1 where the page has it so, and says nothing of a wrong call."""
    done = standing.run(call)
    assert done.returncode == _begins(call, ENDS_WITH_1), f"{where}: {done.stdout}{done.stderr}"
    assert "--help` tells more" not in done.stderr


def test_what_is_not_run_is_in_the_documents() -> None:
    """No reason stands in the tables for a command that no page has any more."""
    for beginnings in (NOT_RUN, ENDS_WITH_1):
        assert [one for one in beginnings if not any(_begins(call, {one: ""}) for call in CALLS)] == []
    assert OTHERS.keys() <= {_first(line) for line in LINES}
    for page, test in TYPED_ELSEWHERE.items():
        assert Path(page).name in Path(__file__).with_name(test).read_text(), test


def test_what_make_is_told_to_make_is_there() -> None:
    """Each target that a page names is one of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = [(line.where, word) for line in LINES if _first(line) == "make" for word in _targets(line)]
    assert len(named) > 10
    assert [(where, word) for where, word in named if word not in targets] == []


def test_services_that_the_engine_is_told_of_are_there() -> None:
    """Each service that a page starts, stops or looks into by Compose is one of compose.yaml."""
    services = set(yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]) | {"STAGE"}
    told = re.compile(r"docker compose (?:exec|logs|ps|restart|run|up) (?:-\S+ |\d+ |\w+=\d )*([A-Za-z][A-Za-z-]*)$")
    lines = [line for line in LINES if line.where.partition(":")[0] not in TYPED_ELSEWHERE]
    named = [(line.where, found[1]) for line in lines if (found := told.search(line.text))]
    assert len(named) > 3
    assert [(where, name) for where, name in named if name not in services] == []


def _is_whole(text: str) -> bool:
    """Whether a command in a sentence is meant with all that belongs to it, and not only named."""
    return " -" in text and not any(word in text for word in ("…", "COMMAND"))


def _first(line: Typed) -> str:
    return next((word for word in line.text.split() if "=" not in word), "")


def _targets(line: Typed) -> list[str]:
    return [word.strip(",") for word in line.text.split()[1:] if re.fullmatch(r"[a-z-]+,?", word)]


def _taken(call: Ours) -> bool:
    try:
        PARSER.parse_args(call.arguments)
    except SystemExit as ended:
        return ended.code == 0
    return True
