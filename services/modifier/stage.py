"""The modifier: a chain of modifications, then the package."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from common import durable, manifest
from common.artifacts import Artifact, describe
from common.errors import ConfigError
from common.options import complaints
from common.settings import Section
from common.stage import Book, Facts, Stage
from services.modifier.chain import Spec, build
from services.modifier.members import Members
from services.modifier.package import pack


class Options(Section):
    """What the modifier does to a book; `level` is the package's compression, 1 (quick) to 3."""

    modifications: tuple[Spec, ...] = ("fixity", "marc", "ocr_text")
    package: Literal["tar.gz"] = "tar.gz"
    level: int = Field(default=1, ge=1, le=3)


class Modifier(Stage):
    """Takes `members/` and `manifest.json`, leaves `<BARCODE>.tar.gz` and sidecars."""

    replaces_input: ClassVar[bool] = True
    syncs_itself: ClassVar[bool] = True

    def check(self) -> list[str]:
        """Say which options and which modifications are wrong."""
        if problems := complaints(Options, self.options):
            return problems
        try:
            build(Options.model_validate(self.options).modifications)
        except ConfigError as error:
            return error.problems
        return []

    def process(self, book: Book, work: Path) -> Facts:
        """Apply the modifications in their order and pack what is left."""
        options = Options.model_validate(self.options)
        listed = manifest.read(book.input_file(manifest.NAME))
        members = Members(book.input / manifest.FOLDER, listed, work, book.barcode)
        learned = self._apply(options, members, book)
        package = pack(members, work / f"{book.barcode}.tar.gz", options.level)
        durable.fsync_dir(work)
        return {**learned, **_figures(listed, members, package, work)}

    def _apply(self, options: Options, members: Members, book: Book) -> dict[str, Any]:
        learned: dict[str, Any] = {"pages": len(members.pages.images)}
        warnings: dict[str, None] = {}
        for modification in build(options.modifications):
            facts = modification.apply(members, book) or {}
            warnings |= dict.fromkeys(facts.get("warnings", ()))
            learned |= facts
        return {**learned, "warnings": list(warnings)}


def _figures(listed: manifest.Members, members: Members, package: Artifact, work: Path) -> dict[str, Any]:
    sidecars = [describe(work / name, name) for name in sorted(members.sidecars)]
    return {
        "package": asdict(package),
        "sidecars": [asdict(sidecar) for sidecar in sidecars],
        "members": len(members.names()),
        "bytes_in": sum(member.size for member in listed.values()),
        "bytes_out": sum(file.size for file in (package, *sidecars)),
    }
