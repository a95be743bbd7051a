"""Durable writes: whole or not at all, never a second fsync."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common import durable


def test_write_file_replaces_whole(tmp_path: Path) -> None:
    """A file is the old one or the new one, and no temporary one is left."""
    durable.write_file(tmp_path / "a", b"old")
    durable.write_file(tmp_path / "a", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"new")]


def test_a_failed_fsync_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An fsync that fails is not repeated, the file does not appear, and the old one stays."""
    durable.write_file(tmp_path / "a", b"old")
    calls = []

    def failing(fd: int) -> None:
        calls.append(fd)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="Input/output error"):
        durable.write_file(tmp_path / "a", b"new")
    assert len(calls) == 1
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


def test_write_new_never_overwrites(tmp_path: Path) -> None:
    """An exclusive write onto an existing name is refused."""
    durable.write_new(tmp_path / "a", b"1")
    with pytest.raises(FileExistsError):
        durable.write_new(tmp_path / "a", b"2")


def test_folders_and_space(tmp_path: Path) -> None:
    """Folders are made with their parents; space is asked of the nearest one that exists."""
    durable.make_dirs(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
    durable.fsync_tree(tmp_path)
    assert durable.existing_ancestor(tmp_path / "x" / "y") == tmp_path
    assert durable.free_bytes(tmp_path / "x" / "y") > 0
