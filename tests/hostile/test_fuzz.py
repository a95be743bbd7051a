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
    """A true book of four pages with its images cut short, and the list of its checksums."""
    made = make_book(BARCODE, pages=4).members
    short = {name: data[:1500] if name.endswith(("tif", "jp2")) else data for name, data in made.items()}
    del short["checksum.md5"]
    listed = "".join(f"{hashlib.md5(data).hexdigest()}  {name}\n" for name, data in sorted(short.items()))
    return {**short, "checksum.md5": listed.encode()}


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
