"""Makes one book: its pages, their text and hOCR, METS and checksums, packed as Google packs them."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

from simulator.archive import cut, gzip_bytes, tar_members
from simulator.dates import Dates
from simulator.hocr import hocr_page
from simulator.images import VARIANTS, back_cover, front_cover, illustration, text_strip
from simulator.jp2 import jp2_file
from simulator.knobs import Knobs
from simulator.layout import BODY, HEAD, TITLE, Block, Piece, set_page, text_of
from simulator.mets import mets_file
from simulator.plan import Leaf, plan_leaves, with_gap
from simulator.tiff import Strip, tiff_file
from simulator.volume import PageFile, Volume
from simulator.works import OCTAVO, WORKS, Work
from simulator.xmp import Capture

DISTINCT = 16
"""A longer book than this prints the same leaves again under new texts, which spares the rendering."""


@dataclass(frozen=True)
class MadeBook:
    """A book ready to be encrypted: the archive's bytes and what must be found in it."""

    barcode: str
    title: str
    pages: int
    tar_gz: bytes
    members: dict[str, bytes]
    dates: Dates
    knobs: Knobs


def make_book(
    barcode: str, *, library: str = "TESTLIB", seed: int = 1, pages: int = 10, knobs: Knobs | None = None
) -> MadeBook:
    """A book of `pages` pages (4 or more), the same bytes for the same arguments; 400 pages make about 30 MB."""
    rng = random.Random(f"{seed} {library} {barcode}")
    volume = _volume(rng, barcode, library, pages, knobs or Knobs())
    leaves = plan_leaves(rng, pages)
    return _Maker(volume, with_gap(leaves) if volume.knobs.gap else leaves, rng).book()


def work_of(barcode: str) -> Work:
    """The work that a barcode is a volume of."""
    return WORKS[int(hashlib.sha256(barcode.encode()).hexdigest(), 16) % len(WORKS)]


def _volume(rng: random.Random, barcode: str, library: str, pages: int, knobs: Knobs) -> Volume:
    work = work_of(barcode)
    if pages > DISTINCT:
        work = replace(work, trim=OCTAVO)
    return Volume(barcode, library, work, rng.randint(1801, 1922), Dates.drawn(rng), knobs)


class _Maker:
    def __init__(self, volume: Volume, leaves: list[Leaf], rng: random.Random) -> None:
        self.volume, self.leaves, self.rng = volume, leaves, rng
        self.batch = rng.randint(1_000_000, 1_999_999)
        self.members: dict[str, bytes] = {}
        self.files: dict[str, dict[int, PageFile]] = {"IMG": {}, "TXT": {}, "HTML": {}}
        self.strips: list[Strip] = []
        self.odd = _odd_leaf(leaves).sequence

    def book(self) -> MadeBook:
        for leaf in self.leaves:
            self._page(leaf)
        self._odd_members()
        self._mets()
        self._checksums()
        if self.volume.knobs.climbing_member:
            self.members["../evil.txt"] = b"This file must never be written outside its book.\n"
        return MadeBook(
            self.volume.barcode,
            self.volume.work.title,
            len(self.leaves),
            self._packed(),
            self.members,
            self.volume.dates,
            self.volume.knobs,
        )

    def _page(self, leaf: Leaf) -> None:
        blocks = self._blocks(leaf)
        owner = f"{self.batch}-{leaf.sequence + 4}"
        image, blocks = self._image(leaf, blocks)
        odd = leaf.sequence == self.odd
        text = text_of(blocks).encode() if blocks else b"\n" * (leaf.sequence % 2)
        self._add(leaf, "IMG", b"" if odd and self.volume.knobs.zero_byte_image else image, owner)
        self._add(leaf, "TXT", b"\xff" + text if odd and self.volume.knobs.bad_utf8 else text)
        self._add(leaf, "HTML", self._hocr(leaf, blocks, owner))

    def _hocr(self, leaf: Leaf, blocks: list[Block], owner: str) -> bytes:
        return hocr_page(
            blocks,
            self.volume.work.trim,
            name=self._name(leaf, "html"),
            number=leaf.sequence,
            owner=owner,
            language=self.volume.work.language.code,
            entity=self.volume.knobs.entity and leaf.sequence == self.odd,
        )

    def _blocks(self, leaf: Leaf) -> list[Block]:
        if leaf.blank or leaf.picture:
            return []
        return set_page(self.rng, _pieces(self.rng, leaf, self.volume), self.volume.work.trim)

    def _image(self, leaf: Leaf, blocks: list[Block]) -> tuple[bytes, list[Block]]:
        work = self.volume.work
        capture = self._capture(leaf)
        if "FRONT_COVER" in leaf.tags:
            picture, blocks = front_cover(work)
        elif leaf.cover:
            picture = back_cover(work)
        elif leaf.picture:
            picture, blocks = illustration(work.trim, work.language, leaf.sequence % VARIANTS)
        else:
            return tiff_file(self._strip(leaf, blocks), capture), blocks
        return jp2_file(picture, capture), blocks

    def _strip(self, leaf: Leaf, blocks: list[Block]) -> Strip:
        if leaf.blank:
            return _blank_strip(self.volume.work.trim, leaf.sequence % 2)
        if len(self.strips) < DISTINCT:
            self.strips.append(text_strip(blocks, self.volume.work.trim, self.rng))
            return self.strips[-1]
        return self.strips[leaf.sequence % DISTINCT]

    def _capture(self, leaf: Leaf) -> Capture:
        name = self._name(leaf, "jp2" if leaf.picture else "tif")
        return Capture(f"{self.volume.object_id}/{name}", self.volume.dates.capture_day)

    def _name(self, leaf: Leaf, suffix: str) -> str:
        prefix = f"{self.volume.object_id}_" if self.volume.knobs.prefixed_names else ""
        return f"{prefix}{leaf.sequence:08d}.{suffix}"

    def _add(self, leaf: Leaf, kind: str, data: bytes, owner: str = "") -> None:
        suffix = {"IMG": "jp2" if leaf.picture else "tif", "TXT": "txt", "HTML": "html"}[kind]
        name = self._name(leaf, suffix)
        self.files[kind][leaf.sequence] = PageFile(name, len(data), _md5(data), owner)
        if not (kind == "HTML" and self.volume.knobs.missing_hocr):
            self.members[name] = data

    def _odd_members(self) -> None:
        if self.volume.knobs.extra_files:
            self.members[f"{self.volume.object_id}_notes.txt"] = b"Tight binding; plates at the end.\n"
            table = "".join(f"{leaf.sequence:08d}\t{leaf.google_number}\n" for leaf in self.leaves)
            self.members[f"{self.volume.object_id}_pagedata.txt"] = table.encode()

    def _mets(self) -> None:
        if self.volume.knobs.wrong_mets_md5:
            page = self.files["TXT"][self.odd]
            self.files["TXT"][self.odd] = replace(page, md5=_md5(b"another text"))
        if not self.volume.knobs.missing_mets:
            self.members[f"{self.volume.object_id}.xml"] = mets_file(self.volume, self.leaves, self.files)

    def _checksums(self) -> None:
        if self.volume.knobs.missing_checksums:
            return
        sums = {name: _md5(data) for name, data in sorted(self.members.items())}
        if self.volume.knobs.wrong_checksum:
            sums[self.files["IMG"][self.odd].name] = _md5(b"another picture")
        self.members["checksum.md5"] = "".join(f"{md5}  {name}\n" for name, md5 in sums.items()).encode()

    def _packed(self) -> bytes:
        tar = tar_members(self.members, _seconds(self.volume.dates.converted))
        packed = gzip_bytes(cut(tar) if self.volume.knobs.cut_tar else tar)
        return cut(packed) if self.volume.knobs.cut_gz else packed


def _odd_leaf(leaves: list[Leaf]) -> Leaf:
    """The page in the middle of the printed text, where a knob that spoils one page takes effect."""
    printed = [leaf for leaf in leaves if leaf.label and not (leaf.blank or leaf.picture)]
    return printed[len(printed) // 2]


def _pieces(rng: random.Random, leaf: Leaf, volume: Volume) -> list[Piece]:
    work = volume.work
    if "TITLE" in leaf.tags:
        year = [Piece(f"{work.place}, {volume.year}", 44, centred=True, space_before=6)]
        return [Piece(work.title, TITLE, True, 2), Piece(work.author, 56, True, 2), *year]
    if "COPYRIGHT" in leaf.tags:
        return [Piece(f"Printed at the Sign of the Lantern, {work.place}, in the year {volume.year}.", HEAD, True, 12)]
    if "TABLE_OF_CONTENTS" in leaf.tags:
        return [Piece(f"{chapter}. {work.language.sentence(rng)}") for chapter in range(1, 8)]
    return _content(rng, leaf, work)


def _content(rng: random.Random, leaf: Leaf, work: Work) -> list[Piece]:
    head = Piece(f"{leaf.label} {work.title.upper()}", HEAD, centred=True, space_before=0)
    if leaf.chapter_start:
        head = Piece(work.language.sentence(rng).rstrip("."), 56, centred=True, space_before=2)
    return [head, *(Piece(work.language.paragraph(rng, rng.randint(3, 6)), BODY) for _ in range(8))]


@lru_cache(maxsize=8)
def _blank_strip(trim: tuple[int, int], side: int) -> Strip:
    return text_strip([], trim, random.Random(side))


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
