"""common.shelves and common.manifest on a disk that loses what it was given: a Redo that asks nobody outside."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from common import manifest, shelves
from common.errors import Redo
from common.manifest import Member
from common.shelves import ARCHIVE, FOLDER, Shelf

NAME = "00000001.tif"
# Its first bytes can be read by nobody: a true EIO.
UNREADABLE = "/proc/self/mem"
LAYOUTS = {"files": (Member(9, "", 0), f"{FOLDER}/{NAME}"), "tar": (Member(9, "", 0, 512), ARCHIVE)}
READ: dict[str, Callable[[Shelf, Member], object]] = {
    "chunks": lambda shelf, member: list(shelf.chunks(NAME, member)),
    "open": lambda shelf, member: shelf.open(NAME, member).read(),
    "read": lambda shelf, member: shelf.read(NAME, member, 3),
}


@pytest.mark.parametrize("way", READ)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_the_disk_cannot_read_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, way: str
) -> None:
    """An input/output error is a Redo that names the member, however it is read."""
    monkeypatch.setattr(shelves, "_READ", os.O_RDONLY)
    member, path = LAYOUTS[layout]
    (tmp_path / FOLDER).mkdir()
    (tmp_path / path).symlink_to(UNREADABLE)
    with pytest.raises(Redo, match=rf"{NAME} cannot be read from the disk \(Input/output error\)") as verdict:
        READ[way](Shelf(tmp_path), member)
    assert verdict.value.local


def test_another_error_stays_what_it_is(tmp_path: Path) -> None:
    """A folder where a file should be is no damage of the disk."""
    (tmp_path / FOLDER / NAME).mkdir(parents=True)
    with pytest.raises(OSError, match="directory") as error:
        Shelf(tmp_path).read(NAME, LAYOUTS["files"][0])
    assert error.value.errno == errno.EISDIR


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_gone_is_made_again(tmp_path: Path, layout: str) -> None:
    """A file that is not there is a Redo of the same kind."""
    with pytest.raises(Redo, match="is gone from the disk") as verdict:
        Shelf(tmp_path).read(NAME, LAYOUTS[layout][0])
    assert verdict.value.local


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"members": {NAME: {"size": 9, "md5": "0" * 32}}}),
        json.dumps({"members": {NAME: {"size": 9, "md5": "0" * 32, "crc32": 7, "sha1": ""}}}),
        json.dumps({"members": {}}),
        json.dumps([]),
        '{"members": {',
        "",
    ],
    ids=["older release", "newer release", "no member", "a list", "cut short", "empty"],
)
def test_a_manifest_that_cannot_be_used_is_made_again(tmp_path: Path, text: str) -> None:
    """Of another release, damaged, or of no file at all: the members are extracted once more."""
    path = tmp_path / manifest.NAME
    path.write_text(text)
    with pytest.raises(Redo, match="damaged, or another release's") as verdict:
        manifest.read(path)
    assert verdict.value.local
