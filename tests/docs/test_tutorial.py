"""The tutorial is typed as it stands, and says what it says that it does."""

from __future__ import annotations

from tests.docs.walk import Walk, missing


def test_every_step_of_the_tutorial_works(walk: Walk) -> None:
    """Each command ends with 0; but for the run in which a book fails, which ends with 1, as the page says."""
    codes = {step.block.text: step.codes for step in walk.steps}
    assert codes.pop("grin-pipeline up --until-drained\n") == [1]
    assert {text: found for text, found in codes.items() if any(found)} == {}


def test_what_the_tutorial_shows_is_what_is_said(walk: Walk) -> None:
    """Each line that it shows after a command was really said by it, in that order."""
    shown = [step for step in walk.steps if step.shown]
    assert len(shown) > 7
    for step in shown:
        assert missing(step, walk.home) == [], f"after {step.block.text}it was said:\n{step.said}"


def test_the_books_of_the_tutorial_are_in_the_store(walk: Walk) -> None:
    """All three are home in the end, each with its provenance, and the list of what is held has a row for each."""
    assert len(list((walk.here / "done").glob("*/provenance.json"))) == 3
    assert len((walk.here / "held.csv").read_text().splitlines()) == 4
