"""Do the members have the checksums that Google gave them? By checksum.md5, and by the METS where that says nothing.

A page file that neither vouches for is not taken in. Nor is a METS that a checksum.md5 passes over, unless it has the
sums of the other files right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from common import mets
from common.archive_names import CHECKSUMS, called_like_pages, checksums_in, folder_of, mets_in
from common.errors import Redo, Reject
from common.manifest import Member, Members
from common.shelves import Shelf

# As md5sum writes it: a name may begin with a blank. One blank or tabs, which it does not write, are understood too.
_LINE = re.compile(r"([0-9a-fA-F]{32})(?: [ *]| |\t+\*?)(?:\./)?(.+)")
# All of them together.
_MAX_LISTS = 4 << 20
_DAMAGED = "Ask Google to convert the book anew, then `grin-pipeline retry` it."
_UNCHECKED = "Ask Google to convert the book anew; what cannot be verified is not taken in."


@dataclass(frozen=True)
class Verdict:
    """By which lists (`checksum.md5`, `mets` or `checksum.md5 and mets`) the members are good, and what was odd."""

    by: str
    warnings: tuple[str, ...]


def verify(members: Members, shelf: Shelf, barcode: str) -> Verdict:
    """Hold the members on `shelf` against their lists: Redo when they differ, Reject where no list has a page file."""
    lists = checksums_in(members)
    if sum(members[name].size for name in lists) > _MAX_LISTS:
        raise Reject(f"{CHECKSUMS} is larger than {_MAX_LISTS >> 20} MiB.", _UNCHECKED)
    listed = [pair for name in lists for pair in _listed(members, shelf, name)]
    wrong = [name for name, md5 in listed if name not in members or members[name].md5 != md5]
    _require_none(wrong, len(listed), CHECKSUMS)
    unlisted = set(members).difference(lists, (name for name, _ in listed))
    if not lists:
        return _by_mets(members, shelf, barcode, f"{CHECKSUMS} is missing", unlisted)
    doubtful = sorted([*called_like_pages(unlisted, barcode), *mets_in(unlisted, barcode)])
    if not doubtful:
        return Verdict(CHECKSUMS, _unverified(unlisted, CHECKSUMS))
    verdict = _by_mets(members, shelf, barcode, f"{CHECKSUMS} does not list {_counted(doubtful, 'file')}", unlisted)
    return Verdict(f"{CHECKSUMS} and {verdict.by}", verdict.warnings)


def parse(text: str) -> list[tuple[str, str]]:
    """Name and lower-case MD5 of each line of a checksum.md5; Redo when a line is something else."""
    # Stripped here: a pattern that strips would look again and again at a long line of blanks.
    lines = (line for line in map(str.strip, text.removeprefix("\ufeff").splitlines()) if line and line[0] != "#")
    matches = [(line, _LINE.fullmatch(line)) for line in lines]
    # A list with a line that nobody can read verifies less than it seems to.
    broken = [line for line, match in matches if match is None]
    if broken or not matches:
        what = f"the line {broken[0][:100]!r}" if broken else "no line"
        raise Redo(f"{CHECKSUMS} is damaged: it has {what}.", _DAMAGED)
    return [(match[2], match[1].lower()) for _, match in matches if match]


def _by_mets(members: Members, shelf: Shelf, barcode: str, why: str, unlisted: set[str]) -> Verdict:
    """Hold all members against the METS, and let it vouch for those that no checksum.md5 lists; `why` it has to."""
    name = _mets_name(members, shelf, barcode, why, unlisted)
    metadata = _metadata(shelf, name, members[name], why)
    folder = folder_of(name)
    found = mets.compare(metadata, members, folder)
    _require_none([*found.changed, *found.missing], len(metadata.files), "the METS")
    left = unlisted.difference([name], (folder + file.name for file in metadata.files if file.md5))
    if pages := called_like_pages(left, barcode):
        raise Reject(f"{why}, and the METS has no checksum of {_counted(pages, 'page file')}.", _UNCHECKED)
    return Verdict("mets", (f"{why}; the METS stood in.", *_unverified(left, "the METS")))


def _mets_name(members: Members, shelf: Shelf, barcode: str, why: str, unlisted: set[str]) -> str:
    candidates = mets_in(members, barcode)
    name = mets.among(candidates, lambda name, size: shelf.read(name, members[name], size))
    if name is None:
        raise Reject(f"{why}, and there is no METS that could stand in, so not all can be verified.", _UNCHECKED)
    if name in unlisted and not unlisted.issuperset(candidates):
        what = f"{why}, and {name[:200]!r} would be taken for the METS instead of the one that it lists."
        raise Reject(what, _UNCHECKED)
    return name


def _metadata(shelf: Shelf, name: str, member: Member, why: str) -> mets.Mets:
    try:
        metadata = mets.parse(shelf.read(name, member, mets.MAX_BYTES + 1))
    except mets.MetsError as error:
        raise Reject(f"{why}, and the METS cannot stand in: {error}.", _UNCHECKED) from None
    if not any(file.md5 for file in metadata.files):
        raise Reject(f"{why}, and the METS has no checksums either.", _UNCHECKED)
    return metadata


def _listed(members: Members, shelf: Shelf, name: str) -> list[tuple[str, str]]:
    text = shelf.read(name, members[name]).decode("utf-8", "replace")
    return [(folder_of(name) + other, md5) for other, md5 in parse(text)]


def _require_none(wrong: Sequence[str], listed: int, where: str) -> None:
    if wrong:
        count = f"{len(wrong)} of {listed} files {'are' if len(wrong) > 1 else 'is'}"
        raise Redo(f"By {where}, {count} missing or changed, beginning with {wrong[0][:200]!r}.", _DAMAGED)


def _unverified(names: Iterable[str], where: str) -> tuple[str, ...]:
    if not (left := sorted(names)):
        return ()
    return (f"Without a checksum in {where} and so not verified: {_counted(left, 'member')}.",)


def _counted(names: Sequence[str], what: str) -> str:
    return f"{len(names)} {what}{'s' if len(names) > 1 else ''}, the first is {names[0][:200]!r}"
