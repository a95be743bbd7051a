"""tar.gz: all members in one archive, images in it as they are."""

from __future__ import annotations

from pathlib import Path

from common import tarring
from services.modifier.packages.gzip_stream import GzipStream
from services.modifier.packages.output import Output
from services.modifier.packages.package import Artifact, Book, Members, Package


class TarGz(Package):
    """`<BARCODE>.tar.gz`: the METS, then all others sorted; times fixed."""

    def pack(self, members: Members, book: Book, outbox: Path) -> Artifact:
        """Write the archive."""
        with Output(outbox / f"{book.barcode}.tar.gz") as output:
            gzip = GzipStream(output.write, self.level)
            for name in _ordered(members):
                add = gzip.store if self.stores(members, name) else gzip.compress
                size = members.size(name)
                gzip.compress(tarring.header(name, size))
                for chunk in members.chunks(name):
                    add(chunk)
                gzip.compress(tarring.padding(size))
            gzip.compress(tarring.END)
            gzip.finish()
            return output.artifact()


def _ordered(members: Members) -> list[str]:
    """What reads a book as it comes (Docling does) must meet the METS, which tells the pages, before them."""
    first = members.mets_name
    return sorted(members.names(), key=lambda name: (name != first, name))
