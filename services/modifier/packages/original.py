"""original: Google's own .tar.gz, untouched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from common import durable, manifest, workfiles
from common.artifacts import describe
from common.config import FilterRow, Settings
from common.errors import Redo, Reject
from common.ledger import last
from services.modifier.order import CHANGING
from services.modifier.packages.package import Artifact, Book, Members, Package

_BOOL = TypeAdapter(bool)
_CHOOSE = "take them out of modifications, or choose another package"


class Original(Package):
    """`<BARCODE>.tar.gz` as Google made it: a second name of the file that the extractor has passed on."""

    def check(self, settings: Settings, row: FilterRow) -> list[str]:
        """Say when no stage passes the archive on, or when what is done to the members would be lost."""
        problems = []
        before = [settings.row(name) for name in settings.upstream(row.name)]
        if not any(_is_true(other.options.get("keep_archive")) for other in before):
            problems.append(
                "it needs Google's archive, which no stage before passes on: "
                "give the extractor the option keep_archive: true."
            )
        if found := [name for name in _names(row.options.get("modifications", ())) if name in CHANGING]:
            problems.append(
                f"the book leaves as Google made it, and what {' and '.join(found)} would change is lost: {_CHOOSE}."
            )
        return problems

    def pack(self, members: Members, book: Book, outbox: Path) -> Artifact:
        """Link the archive; Reject when the members were changed."""
        _require_unchanged(members, book)
        source = book.input_file(f"{book.barcode}.tar.gz")
        workfiles.link(source, outbox / source.name)
        durable.fsync_path(outbox / source.name)
        artifact = describe(outbox / source.name, source.name)
        told = _told(book)
        if told is None:
            what = f"The ledger does not tell what archive {book.barcode} was extracted from, so it is made again."
            raise Redo(what, local=True)
        if artifact.sha256 != told:
            raise Redo(f"{source} is not the archive that was extracted, so the book is made again.", local=True)
        return artifact


def _is_true(option: Any) -> bool:
    """As the extractor reads it, which takes the word as well."""
    try:
        return _BOOL.validate_python(option)
    except ValidationError:
        return False


def _names(modifications: Any) -> list[str]:
    """The names in a list of modifications, some of which are the only key of a mapping."""
    return [name for spec in modifications for name in (spec if isinstance(spec, Mapping) else (spec,))]


def _require_unchanged(members: Members, book: Book) -> None:
    extracted = manifest.read(book.input_file(manifest.NAME))
    for name in sorted({*extracted, *members.listed}):
        old, new = extracted.get(name), members.listed.get(name)
        if old is None or new is None or (old.size, old.md5) != (new.size, new.md5):
            reason = (
                f"A modification has changed {name}, and the package original, as Google made it, would not show it."
            )
            raise Reject(reason, f"Look which of the modifications change members: {_CHOOSE}.")


def _told(book: Book) -> str | None:
    """The archive's SHA-256 as the extractor read it, by the ledger; None when nobody has told it."""
    done = (last(book.events, "done", stage=stage) or {} for stage in book.upstream)
    told = (event.get("facts", {}).get("sha256") for event in done)
    return next(filter(None, told), None)
