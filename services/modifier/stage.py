"""The modifier: a chain of modifications, then the package."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from common import durable, manifest
from common.artifacts import describe
from common.options import complaints
from common.settings import Section
from common.shelves import Shelf
from common.stage import Book, Facts, Stage
from services.modifier import leavings, naming
from services.modifier.chain import build, problems_of
from services.modifier.facts import judged
from services.modifier.members import Members
from services.modifier.packages.package import Package

_FOLDER = "services.modifier.packages"
PACKAGES: Mapping[str, str] = {
    "tar.gz": f"{_FOLDER}.tar_gz:TarGz",
    "zip": f"{_FOLDER}.zipped:Zip",
    "bagit": f"{_FOLDER}.bagit_bag:BagIt",
    "tree": f"{_FOLDER}.tree:Tree",
    "original": f"{_FOLDER}.original:Original",
}


class Options(Section):
    """What the modifier does to a book; `level` is how hard it compresses, 1 (quick) or 2.

    The library has a level 3, too, whose bytes are others on other processors.

    `deflate_images` compresses page images, too, which takes most of the time: bitonal books get a twentieth smaller.
    """

    modifications: tuple[Any, ...] = ("fixity", "marc", "ocr_text")
    package: str = "tar.gz"
    level: int = Field(default=1, ge=1, le=2)
    deflate_images: bool = False

    def packer(self, library: str) -> Package:
        """The package; ValueError has a sentence on why there is none of that name."""
        cls = naming.find("package", self.package, PACKAGES, Package)

        def make() -> Package:
            return cls(self.level, deflate_images=self.deflate_images, library=library)

        return naming.made(f"package {self.package}", make)


class Modifier(Stage):
    """Takes a book's members and their manifest, leaves a package and sidecars."""

    replaces_input: ClassVar[bool] = True
    syncs_itself: ClassVar[bool] = True

    def check(self) -> list[str]:
        """Say which options and which modifications are wrong."""
        if problems := complaints(Options, self.options):
            return problems
        options = Options.model_validate(self.options)
        try:
            packer = options.packer(self.settings.global_.library)
            problems += naming.problems(f"Package {options.package}", lambda: packer.check(self.settings, self.row))
        except ValueError as error:
            problems.append(str(error))
        return [*problems, *problems_of(options.modifications, self.settings.path.parent)]

    def process(self, book: Book, work: Path) -> Facts:
        """Apply the modifications in their order and pack what is left."""
        options = Options.model_validate(self.options)
        listed = manifest.read(book.input_file(manifest.NAME))
        packer = options.packer(self.settings.global_.library)
        with closing(Shelf(book.input)) as shelf:
            members = Members(shelf, listed, work, book.barcode)
            learned = self._apply(options, members, book)
            with naming.acting(f"package {options.package}"):
                package = packer.pack(members, book, work)
            # A package need not read all that a modification has looked into.
            members.prove_all()
        loose = members.names() if packer.is_tree else []
        learned["warnings"] += leavings.swept(work, package, members.sidecars, loose)
        durable.fsync_dir(work)
        sidecars = [describe(work / name, name) for name in sorted(members.sidecars)]
        return {
            **learned,
            "package": asdict(package),
            **({"tree": True} if packer.is_tree else {}),
            "sidecars": [asdict(sidecar) for sidecar in sidecars],
            "members": len(members.names()),
            "bytes_in": sum(member.size for member in listed.values()),
            "bytes_out": sum(file.size for file in (package, *sidecars)) + sum(map(members.size, loose)),
        }

    def _apply(self, options: Options, members: Members, book: Book) -> dict[str, Any]:
        learned: dict[str, Any] = {"pages": len(members.pages.images)}
        warnings: dict[str, None] = {}
        for name, modification in build(options.modifications, self.settings.path.parent):
            with naming.acting(f"modification {name}"):
                facts = judged(name, modification.apply(members, book))
            warnings |= dict.fromkeys(facts.get("warnings", ()))
            learned |= facts
        return {**learned, "warnings": list(warnings)}
