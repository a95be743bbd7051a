"""Tar and gzip, the same bytes for the same members."""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Mapping

CUT_AT = 0.6
"""The share of its bytes that a cut file keeps."""


def tar_members(members: Mapping[str, bytes], mtime: int) -> bytes:
    """A flat ustar archive in alphabetical order, owned by root, all members of one time."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(members):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(members[name]), mtime, 0o644
            archive.addfile(entry, io.BytesIO(members[name]))
    return out.getvalue()


def gzip_bytes(data: bytes) -> bytes:
    """Gzip without a name or a time; quick rather than small, as images hardly shrink."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def cut(data: bytes) -> bytes:
    """The beginning of the data, as after a broken transfer."""
    return data[: int(len(data) * CUT_AT)]
