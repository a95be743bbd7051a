"""Do the members have the checksums that Google gave them? By checksum.md5, or by the METS where that is missing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from common import mets
from common.archive_names import CHECKSUMS, checksums_of, folder_of, mets_of
from common.errors import Redo, Reject
from common.manifest import Member, Members
from common.shelves import Shelf

_LINE = re.compile(r"([0-9a-fA-F]{32})[ \t]+\*?(?:\./)?(.+)")
_MAX_LIST = 4 << 20
_DAMAGED = "Have the book converted anew, then put its token back."
_UNCHECKED = "Ask Google to convert the book anew; what cannot be verified is not taken in."


@dataclass(frozen=True)
class Verdict:
    """By which list (`checksum.md5` or `mets`) the members were found to be good, and what was odd."""

    by: str
    warnings: tuple[str, ...]


def verify(members: Members, shelf: Shelf, barcode: str) -> Verdict:
    """Hold the members on `shelf` against their list: Redo when they differ, Reject when there is no list."""
    listed_in = checksums_of(members)
    if listed_in is not None:
        return _by_checksums(members, shelf, listed_in)
    listed_in = mets_of(members, barcode)
    if listed_in is None:
        raise Reject(f"The archive has neither {CHECKSUMS} nor a METS, so nothing can be verified.", _UNCHECKED)
    return _by_mets(members, shelf, listed_in)


def parse(text: str) -> list[tuple[str, str]]:
    """Name and lower-case MD5 of each line of a checksum.md5; Redo when a line is something else."""
    # Stripped here: a pattern that strips would look again and again at a long line of blanks.
    matches = [(line, _LINE.fullmatch(line)) for line in map(str.strip, text.splitlines()) if line]
    # A list with a line that nobody can read verifies less than it seems to.
    broken = [line for line, match in matches if match is None]
    if broken or not matches:
        what = f"the line {broken[0][:100]!r}" if broken else "no line"
        raise Redo(f"{CHECKSUMS} is damaged: it has {what}.", _DAMAGED)
    return [(match[2], match[1].lower()) for _, match in matches if match]


def _by_checksums(members: Members, shelf: Shelf, listed_in: str) -> Verdict:
    listed = [(folder_of(listed_in) + name, md5) for name, md5 in parse(_read(shelf, listed_in, members[listed_in]))]
    wrong = [name for name, md5 in listed if name not in members or members[name].md5 != md5]
    _require_none(wrong, len(listed), CHECKSUMS)
    return Verdict(CHECKSUMS, _unlisted(sorted(set(members) - {name for name, _ in listed} - {listed_in}), CHECKSUMS))


def _by_mets(members: Members, shelf: Shelf, listed_in: str) -> Verdict:
    try:
        metadata = mets.parse(shelf.read(listed_in, members[listed_in], mets.MAX_BYTES + 1))
    except mets.MetsError as error:
        raise Reject(f"{CHECKSUMS} is missing, and the METS cannot stand in: {error}.", _UNCHECKED) from None
    if not any(file.md5 for file in metadata.files):
        raise Reject(f"{CHECKSUMS} is missing, and the METS has no checksums either.", _UNCHECKED)
    found = mets.compare(metadata, members, folder_of(listed_in))
    _require_none([*found.changed, *found.missing], len(metadata.files), "the METS")
    others = [name for name in found.unlisted if name != listed_in]
    bare = [folder_of(listed_in) + file.name for file in metadata.files if file.md5 is None]
    others = sorted({*others, *(name for name in bare if name in members)})
    return Verdict("mets", (f"{CHECKSUMS} is missing; the METS stood in.", *_unlisted(others, "the METS")))


def _read(shelf: Shelf, name: str, member: Member) -> str:
    if member.size > _MAX_LIST:
        raise Reject(f"{CHECKSUMS} is larger than {_MAX_LIST >> 20} MiB.", _UNCHECKED)
    return shelf.read(name, member).decode("utf-8", "replace")


def _require_none(wrong: Sequence[str], listed: int, where: str) -> None:
    if wrong:
        count = f"{len(wrong)} of {listed} files {'are' if len(wrong) > 1 else 'is'}"
        raise Redo(f"By {where}, {count} missing or changed, beginning with {wrong[0][:200]!r}.", _DAMAGED)


def _unlisted(names: Sequence[str], where: str) -> tuple[str, ...]:
    if not names:
        return ()
    return (f"Without a checksum in {where} and so not verified: {len(names)} members, the first is {names[0]!r}.",)
