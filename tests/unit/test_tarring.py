"""Tar headers are tarfile's, byte for byte."""

from __future__ import annotations

import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import tarring

NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=260)


def by_tarfile(name: str, size: int) -> bytes:
    """What tarfile makes of a plain file."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, tarring.MTIME, 0o644
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


@given(NAMES, st.integers(0, 1 << 40))
def test_a_header_is_what_tarfile_makes(name: str, size: int) -> None:
    """Whatever the name and the size, the header is tarfile's own."""
    assert tarring.header(name, size) == by_tarfile(name, size)


@pytest.mark.parametrize("name", ["00000001.tif", "a" * 100, "a" * 101, "d/" + "b" * 100, "é.txt", "x" * 300])
@pytest.mark.parametrize("size", [0, 1, 511, 512, 8**11 - 1, 8**11, 1 << 45])
def test_the_edges_of_the_old_format(name: str, size: int) -> None:
    """At the edges of what the old format holds, too, and the header says what it was made for."""
    made = tarring.header(name, size)
    assert made == by_tarfile(name, size)
    if len(made) == tarring.BLOCK:
        found = tarfile.TarInfo.frombuf(made, "utf-8", "strict")
        assert (found.name, found.size, found.mtime, found.mode) == (name, size, tarring.MTIME, 0o644)
