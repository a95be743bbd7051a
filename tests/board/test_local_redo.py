"""What the disk has lost since it came is made again from the earliest files that are still there."""

from __future__ import annotations

import pytest

from common.errors import Redo
from common.stage import Book
from tests.board.steps import BOOK, LAST, Says, Small, memory, run
from tests.board.steps_scenes import Scene
from tests.board.test_kill_steps import tried


def torn(book: Book) -> None:
    """Said once: what an earlier stage made is damaged."""
    if not any(event["event"] == "redo" for event in book.events):
        raise Redo("The copy is torn.", local=True)


def waits_at_three(line: Small) -> None:
    """Two stages have worked on the book."""
    line.seed()
    line.turn("one", "two")
    line.worker("three")


def turn(line: Small) -> None:
    """The third works on it."""
    line.turn("three")


SCENE = Scene("local redo", waits_at_three, turn, says={"three": torn}, works=6, verdict=True)


@pytest.mark.parametrize(
    ("keeps", "to", "again"),
    [(True, "two", ["two", "three", "four"]), (False, "one", ["one", "two", "three", "four"])],
    ids=["first stage's files kept", "only our input is there"],
)
def test_it_goes_to_who_reads_the_earliest_files(
    monkeypatch: pytest.MonkeyPatch, *, keeps: bool, to: str, again: list[str]
) -> None:
    """What the first stage has made is used where it has stayed; else the book is fetched again."""
    monkeypatch.setattr(Says, "keeps_input", keeps)
    with memory() as folder:
        line = SCENE.line(folder / "line")

        def act() -> None:
            SCENE.begin(line)
            line.to_the_end()

        assert run(act, folder / "failed") == 0
        assert [place for place, _ in line.tokens()] == [LAST]
        assert line.worked() == ["one", "two", "three", *again]
        assert [event["to"] for event in line.lines() if event["event"] == "redo"] == [to]


def test_it_survives_a_kill_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded once and completed once, whenever the worker dies."""
    monkeypatch.setattr(Says, "keeps_input", True)
    with memory() as folder:
        assert tried(SCENE, folder) == {}


@pytest.mark.parametrize("local", [True, False])
def test_one_that_was_begun_is_completed(monkeypatch: pytest.MonkeyPatch, *, local: bool) -> None:
    """A worker died half-way, and the next finds something else missing: the book goes where it was sent."""
    monkeypatch.setattr(Says, "keeps_input", True)
    with memory() as folder:
        line = SCENE.line(folder / "line")

        def act() -> None:
            SCENE.begin(line)
            line.ledger.append(BOOK, "redo", stage="three", worker="gone", claim="gone.1", attempt=1, to="one")

            def lost(_book: Book) -> None:
                raise Redo("More is torn.", local=local)

            Says.sayings = {"three": lost}
            line.turn("three")

        assert run(act, folder / "failed") == 0
        assert [place for place, _ in line.tokens()] == ["00_b"]
