"""rename: other names for the page files, by a template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, model_validator

from common.archive_names import folded, folder_of, objection, pages_of
from common.errors import Reject
from common.mets import MetsError
from common.settings import Section
from services.modifier.modification import Book, Facts, Members, Modification
from services.modifier.modifications.templates import checked

_PREFIXES = {"strip": "{page:08d}{ext}", "add": "{object}_{page:08d}{ext}"}
_CURE = "Choose another template for rename, or leave the book out."


def _check(template: str) -> str:
    files = ((1, ".tif"), (2, ".tif"), (1, ".txt"))
    samples = [{"barcode": "b", "object": "l_b", "page": page, "ext": ext} for page, ext in files]
    checked(template, samples)
    if against := objection(template.format(**samples[0])):
        raise ValueError(f"should give names of files, and what it gives {against}")
    return template


class Options(Section):
    """`pages` is a template of {barcode}, {object} (`<DIR>_<BARCODE>`), {page} and {ext}; `prefix` stands for two."""

    pages: Annotated[str, AfterValidator(_check)] | None = None
    prefix: Literal["strip", "add"] | None = None
    update_checksums: bool = True

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.pages is None) == (self.prefix is None):
            raise ValueError("pages or prefix should be given, and not both")
        return self

    @property
    def template(self) -> str:
        """The template that is meant."""
        return self.pages or _PREFIXES[self.prefix or "strip"]


class Rename(Modification):
    """Images, text and hOCR get new names in their folder; the METS stays, and goes on to tell of the old ones."""

    model: ClassVar[type[Options]] = Options

    def apply(self, members: Members, book: Book) -> Facts:
        """Rename the page files; Reject when two files would have one name."""
        options = Options.model_validate(self.options)
        wanted = _wanted(members, options.template, book.barcode)
        _require_apart(members, wanted)
        for name, new in wanted.items():
            members.rename(name, new)
        return {
            "renamed": len(wanted),
            "checksums_updated": bool(wanted) and options.update_checksums and members.update_checksums(),
        }


def _wanted(members: Members, template: str, barcode: str) -> dict[str, str]:
    """Old name to new name, of the files whose names change."""
    wanted: dict[str, str] = {}
    whole = _object_of(members, barcode) if "{object" in template else ""
    for name in members.names():
        # One by one: where two files are the same page, both are renamed, and so found to collide.
        if numbers := pages_of([name], barcode).numbers:
            values = {"barcode": barcode, "object": whole, "page": numbers[0], "ext": name[name.rfind(".") :]}
            new = folder_of(name) + template.format(**values)
            if new != name:
                wanted[name] = new
    return wanted


def _object_of(members: Members, barcode: str) -> str:
    """`<DIR>_<BARCODE>`, as the METS is called or as it calls the book."""
    stem = (members.mets_name or "").rpartition("/")[2].rpartition(".")[0]
    try:
        called = members.mets.object_id if members.mets else ""
    except MetsError:
        called = ""
    for found in (stem, called):
        if found.endswith(f"_{barcode}"):
            return found
    raise Reject(f"Neither the METS' name nor what it says tells the library of {barcode}.", _CURE)


def _require_apart(members: Members, wanted: Mapping[str, str]) -> None:
    taken: dict[str, str] = {}
    for name in members.names():
        new = wanted.get(name, name)
        if against := objection(new):
            raise Reject(f"{name} cannot be renamed to {new!r}: that {against}.", _CURE)
        other = taken.setdefault(folded(new), name)
        if other != name:
            raise Reject(f"{other} and {name} would both be called {new}.", _CURE)
        # Members are renamed one after the other, so the name must be free before any other has moved.
        if new != name and new in wanted:
            raise Reject(f"{name} would be called {new}, as another page file is now.", _CURE)
