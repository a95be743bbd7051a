"""A book's files: scratch, publication by one rename, and those who come too late."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common import board, workfiles
from common.errors import Lost


def test_published_by_one_rename(tmp_path: Path) -> None:
    """What is in the scratch folder is found under the stage's name, and nowhere else."""
    scratch = workfiles.open_scratch(tmp_path / "A1", "w.1")
    (scratch / "x").write_text("x")
    workfiles.publish(scratch, tmp_path / "A1" / "stage")
    workfiles.drop_scratch(tmp_path / "A1", "w.1")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["A1", "A1/stage", "A1/stage/x"]


def test_the_second_publication_changes_nothing(tmp_path: Path) -> None:
    """A worker that comes second finds the name taken; what was published stays."""
    for number, text in ((1, "first"), (2, "second")):
        scratch = tmp_path / "A1" / ".scratch" / f"w.{number}"
        scratch.mkdir(parents=True)
        (scratch / "x").write_text(text)
        workfiles.publish(scratch, tmp_path / "A1" / "stage")
        assert not scratch.exists()
    assert (tmp_path / "A1" / "stage" / "x").read_text() == "first"


def test_a_new_attempt_takes_the_old_scratch_away(tmp_path: Path) -> None:
    """A worker that lost its claim can publish nothing: its scratch folder is gone."""
    late = workfiles.open_scratch(tmp_path / "A1", "late.1")
    (late / "half").write_text("half")
    workfiles.open_scratch(tmp_path / "A1", "new.1")
    with pytest.raises(Lost):
        workfiles.publish(late, tmp_path / "A1" / "stage")
    assert not (tmp_path / "A1" / "stage").exists()


def test_carry_over_keeps_what_is_new(tmp_path: Path) -> None:
    """Files that the scratch folder lacks are linked into it, in folders too; its own win."""
    source, scratch = tmp_path / "source", tmp_path / "scratch"
    (source / "deep").mkdir(parents=True)
    scratch.mkdir()
    for path in (source / "a", source / "b", source / "deep" / "c"):
        path.write_text("old")
    (scratch / "a").write_text("new")
    workfiles.carry_over(source, scratch)
    assert {p.relative_to(scratch).as_posix(): p.read_text() for p in scratch.rglob("*") if p.is_file()} == {
        "a": "new",
        "b": "old",
        "deep/c": "old",
    }


def test_nothing_left_nothing_stays(tmp_path: Path) -> None:
    """A stage that leaves nothing leaves no folder of the book behind."""
    workfiles.open_scratch(tmp_path / "A1", "w.1")
    workfiles.drop_scratch(tmp_path / "A1", "w.1")
    assert list(tmp_path.iterdir()) == []


def test_removed_by_name_first(tmp_path: Path) -> None:
    """Published folders are removed; one that is not there is no trouble, nor is a book that has nothing."""
    (tmp_path / "A1" / "stage" / "deep").mkdir(parents=True)
    found = workfiles.published(tmp_path / "A1")
    workfiles.remove(tmp_path / "A1", {**found, "other": (1, 1)})
    assert not (tmp_path / "A1" / "stage").exists()
    workfiles.remove(tmp_path / "nobody", workfiles.published(tmp_path / "nobody"))


def test_what_others_have_published_since_stays(tmp_path: Path) -> None:
    """A worker that wakes up late removes only the folders that it knew, however alike their names are."""
    (tmp_path / "A1" / "stage").mkdir(parents=True)
    known = workfiles.published(tmp_path / "A1")
    (tmp_path / "A1" / "stage").rmdir()
    (tmp_path / "A1" / "stage").mkdir()
    (tmp_path / "A1" / "stage" / "new").touch()
    workfiles.remove(tmp_path / "A1", known)
    assert (tmp_path / "A1" / "stage" / "new").exists()


def test_sweep(root: Path, tmp_path: Path) -> None:
    """Folders of books that are done, and half-removed ones, go; those of books on their way stay."""
    for name in ("A1", "A2", ".gone-A3-x"):
        (tmp_path / "processing" / name / "stage").mkdir(parents=True)
    board.path_of(root / "02_out", "A1", board.WAITING).write_text("{}")
    assert workfiles.sweep(tmp_path / "processing", root / "02_out") == 2
    assert [path.name for path in (tmp_path / "processing").iterdir()] == ["A2"]
    assert workfiles.sweep(tmp_path / "nowhere", root / "02_out") == 0


def test_folders_deeper_than_python_goes_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage that left a thousand folders in one another does not keep its scratch folder from going."""
    scratch = workfiles.open_scratch(tmp_path / "A1", "w.1")
    monkeypatch.chdir(scratch)
    for _ in range(1500):
        Path("d").mkdir()
        os.chdir("d")
    os.chdir(tmp_path)
    workfiles.drop_scratch(tmp_path / "A1", "w.1")
    assert list(tmp_path.iterdir()) == []
