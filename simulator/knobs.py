"""What can be odd or wrong about a made book."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

_POISONS = {
    "wrong_checksum": "wrong checksum",
    "wrong_mets_md5": "wrong checksum",
    "cut_gpg": "cut archive",
    "cut_gz": "cut archive",
    "cut_tar": "cut archive",
    "climbing_member": "climbing member",
}


@dataclass(frozen=True)
class Knobs:
    """All off by default: a book as Google makes them today."""

    prefixed_names: bool = False
    """Page files are called `<DIR>_<BARCODE>_00000001.tif`."""
    missing_hocr: bool = False
    """The METS lists the hOCR pages, the archive does not have them."""
    wrong_checksum: bool = False
    """One line of checksum.md5 is wrong."""
    wrong_mets_md5: bool = False
    """One checksum in the METS is wrong."""
    missing_mets: bool = False
    missing_checksums: bool = False
    """There is no checksum.md5."""
    gap: bool = False
    """One sequence number in the middle is not used."""
    zero_byte_image: bool = False
    missing_tag: bool = False
    """One page carries the tag MISSING."""
    extra_files: bool = False
    """A `_notes.txt` and a `_pagedata.txt` lie beside the pages."""
    right_to_left: bool = False
    marc: Literal["prefixed", "default", "empty"] = "prefixed"
    """`marc:record`, `record` in the default namespace, or a wrapper with nothing in it."""
    entity: bool = False
    """A `&shy;` in the hOCR of one page."""
    bad_utf8: bool = False
    """A byte in the text of one page that is not UTF-8."""
    climbing_member: bool = False
    """A member called `../evil.txt`."""
    cut_tar: bool = False
    cut_gz: bool = False
    cut_gpg: bool = False
    wrong_passphrase: bool = False
    """Encrypted with another passphrase than the library's."""
    no_mdc: bool = False
    """Encrypted the old way, without a manipulation detection code."""

    @property
    def poison(self) -> str | None:
        """Why such a book can never come home; None where it can."""
        return next((reason for name, reason in _POISONS.items() if getattr(self, name)), None)

    def given(self) -> dict[str, bool | str]:
        """The knobs that are not at their default."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value != getattr(Knobs, name)}
