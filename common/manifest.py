"""What the extractor found in a book: `manifest.json`, one line a member, and how the members lie beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common import durable
from common.errors import Redo

NAME = "manifest.json"


@dataclass(frozen=True)
class Member:
    """One file of the archive as it was read: its size in bytes, its MD5 in lower-case hex, its CRC-32.

    `offset` is where its bytes begin in `members.tar`, None where members lie as files.
    """

    size: int
    md5: str
    crc32: int
    offset: int | None = None


Members = Mapping[str, Member]


def write(folder: Path, members: Members) -> None:
    """Write the manifest into `folder`, durably and the same bytes for the same members."""
    dumps = json.JSONEncoder(ensure_ascii=False).encode
    lines = (f"{dumps(name)}: {dumps(_entry(member))}" for name, member in sorted(members.items()))
    text = '{"members": {\n' + ",\n".join(lines) + "\n}}\n"
    durable.write_file(folder / NAME, text.encode())


def read(path: Path) -> dict[str, Member]:
    """The members that a manifest lists; Redo when it is damaged, lists none, or was written by another release."""
    try:
        listed = json.loads(path.read_bytes())["members"]
        members = {name: _member(**entry) for name, entry in listed.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        members = {}
    if not members:
        raise Redo(f"{path} is damaged, or another release's, so the book is made again.", local=True)
    return members


def _entry(member: Member) -> dict[str, object]:
    return {key: value for key, value in vars(member).items() if value is not None}


def _member(size: int, md5: str, crc32: int, offset: int | None = None) -> Member:
    return Member(int(size), str(md5), int(crc32), None if offset is None else int(offset))
