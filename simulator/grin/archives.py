"""An archive as a reply: whole, or from a byte on, streamed from its file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from simulator.grin.messages import Reply, Request

_PIECE = 1 << 20
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def archive(request: Request, path: Path, etag: str, sent: Callable[[], None], *, ranges: bool) -> Reply:
    """The reply to GET or HEAD; `sent` is called when the last byte has gone out."""
    size = path.stat().st_size
    headers = {"Content-Type": "application/octet-stream", "ETag": etag}
    wanted = _wanted(request, size, etag) if ranges else None
    if wanted is None:
        return Reply(200, headers, _pieces(path, range(size), sent), size)
    if not wanted:
        return Reply(416, {"Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{size}"
    done = sent if wanted.stop == size else _nothing
    return Reply(206, headers, _pieces(path, wanted, done), len(wanted))


def _wanted(request: Request, size: int, etag: str) -> range | None:
    """The bytes that the Range header asks for, none of them if there are no such; None means all."""
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    if asked is None or asked[0] == "bytes=-" or not _unchanged(request, etag):
        return None
    first, last = asked.groups()
    if not first:
        return range(max(0, size - int(last)), size)
    return range(int(first), min(size, int(last) + 1) if last else size)


def _unchanged(request: Request, etag: str) -> bool:
    told = request.headers.get("if-range")
    return told is None or (told == etag and not etag.startswith("W/"))


def _pieces(path: Path, wanted: range, done: Callable[[], None]) -> Iterator[bytes]:
    left = len(wanted)
    with path.open("rb") as file:
        file.seek(wanted.start)
        while left and (piece := file.read(min(_PIECE, left))):
            left -= len(piece)
            yield piece
    done()


def _nothing() -> None:
    """A part of an archive is no download."""
