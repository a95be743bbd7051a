"""zip: all members in one zip file, images in it as they are."""

from __future__ import annotations

from pathlib import Path

from services.modifier.packages.package import Artifact, Book, Members, Package
from services.modifier.packages.zip_output import ZipOutput


class Zip(Package):
    """`<BARCODE>.zip`: members sorted, times fixed."""

    def pack(self, members: Members, book: Book, outbox: Path) -> Artifact:
        """Write the zip file."""
        with ZipOutput(outbox / f"{book.barcode}.zip", self.level) as output:
            for name in members.names():
                output.add(name, members.size(name), members.chunks(name), stored=self.stores(members, name))
            return output.artifact()
