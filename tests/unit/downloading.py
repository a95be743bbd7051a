"""A book on a scripted GRIN, in parts and whole, for the tests of downloads."""

from __future__ import annotations

import hashlib
from pathlib import Path

from common.grin.client import GrinClient
from common.grin.download import Download
from tests.scripted import Reply, Seen

DATA = b"\x8c" + bytes(range(256)) * 4000
ARCHIVE = "B1.tar.gz.gpg"
PREFIXED = f"TESTLIB_{ARCHIVE}"
E1 = {"ETag": '"e1"'}
WHOLE = Reply(DATA, headers=E1)
CUT = Reply(DATA[:300_000], headers=E1, promised=len(DATA))


def start_of(seen: Seen) -> int:
    """The first byte that a Range header asks for; 0 without one."""
    return int(seen.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))


def part(seen: Seen, size: int = len(DATA), promised: int | None = None, etag: str = '"e1"') -> Reply:
    """The next `size` bytes of DATA from where the request wants them."""
    start = start_of(seen)
    body = DATA[start : start + size]
    if not start:
        return Reply(body, headers={"ETag": etag}, promised=len(DATA))
    last = start + len(body) if promised is None else len(DATA)
    content = {"Content-Range": f"bytes {start}-{last - 1}/{len(DATA)}"}
    return Reply(body, 206, {"ETag": etag, **content}, promised)


def rest(seen: Seen) -> Reply:
    """The part of DATA that a Range header asks for."""
    return part(seen)


def fetched(client: GrinClient, folder: Path) -> Download:
    """B1, downloaded and compared with what the server has; nothing is left beside it."""
    done = client.download("B1", folder / ARCHIVE)
    assert (folder / ARCHIVE).read_bytes() == DATA
    assert (done.size, done.sha256) == (len(DATA), hashlib.sha256(DATA).hexdigest())
    assert not (folder / f".{ARCHIVE}.partial").exists()
    return done
