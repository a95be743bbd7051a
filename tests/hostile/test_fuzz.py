"""Thousands of damaged archives and METS files: each ends well or with a verdict, in bounded time and memory."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path

import pytest

from simulator.book import make_book
from tests.helpers import measured
from tests.hostile.archives import BARCODE

FUZZED = int(os.environ.get("GRIN_FUZZ", "400"))
SEED = os.environ.get("GRIN_FUZZ_SEED", "5")


def members() -> dict[str, bytes]:
    """A true book of four pages, its images cut short; its METS and its checksums tell the truth of that."""
    found = {name: data for name, data in make_book(BARCODE, pages=4).members.items() if name != "checksum.md5"}
    mets = next(name for name in found if name.endswith(f"{BARCODE}.xml"))
    for name, data in found.items():
        if name.endswith(("tif", "jp2")):
            found[name] = data[:1500]
            for old, new in ((md5(data), md5(found[name])), (f'SIZE="{len(data)}"', 'SIZE="1500"')):
                found[mets] = found[mets].replace(old.encode(), new.encode())
    listed = "".join(f"{md5(data)}  {name}\n" for name, data in sorted(found.items()))
    return {**found, "checksum.md5": listed.encode()}


def md5(data: bytes) -> str:
    """MD5 in hex."""
    return hashlib.md5(data).hexdigest()


@pytest.mark.parametrize("what", ["archives", "mets"])
def test_fuzzed_input_has_a_verdict(tmp_path: Path, what: str) -> None:
    """No crash, no hang, no file outside, none that is not plain, and no more memory than for a whole book."""
    book = members()
    (tmp_path / "book").mkdir()
    for name, data in book.items():
        (tmp_path / "book" / name).write_bytes(data)
    began = time.monotonic()
    done, peak = measured([sys.executable, "-m", "tests.hostile.fuzz", what, str(FUZZED), SEED, str(tmp_path)])
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    print(f"{FUZZED} {what} in {time.monotonic() - began:.0f} s, {peak:.0f} MB: {json.dumps(found, indent=1)}")
    outcomes = found["outcomes"]
    assert sum(outcomes.values()) == FUZZED
    assert outcomes["success"] > FUZZED / 100
    assert len(outcomes) >= 4
    assert peak < 120
