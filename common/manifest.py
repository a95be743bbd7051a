"""What the extractor found in a book: `manifest.json`, the size and MD5 of each file below `members/`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from common import durable
from common.errors import Redo

NAME = "manifest.json"
FOLDER = "members"


@dataclass(frozen=True)
class Member:
    """One file of the archive as it was read: its size in bytes and its MD5 in lower-case hex."""

    size: int
    md5: str


Members = Mapping[str, Member]


def write(folder: Path, members: Members) -> None:
    """Write the manifest into `folder`, durably and the same bytes for the same members."""
    listed = {name: asdict(member) for name, member in sorted(members.items())}
    text = json.dumps({"members": listed}, ensure_ascii=False, indent=1)
    durable.write_file(folder / NAME, f"{text}\n".encode())


def read(path: Path) -> dict[str, Member]:
    """The members that a manifest lists; Redo when it is damaged."""
    try:
        listed = json.loads(path.read_bytes())["members"]
        return {name: Member(int(entry["size"]), str(entry["md5"])) for name, entry in listed.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Redo(f"{path} is damaged, so the book is made again.") from None
