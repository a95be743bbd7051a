"""The board under fire: whatever is killed, whenever, no book is lost, doubled or rewritten.

40 kills among 600 books; `make storm` has 100 among 2,000.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.helpers import FULL_STORMS, Line

HOP = """
from common.stage import Stage

class Hop(Stage):
    def process(self, book, work):
        pass
"""
BOOKS, KILLS = (2_000, 100) if FULL_STORMS else (600, 40)


@pytest.mark.slow
def test_kills_of_workers_and_orchestrators(tmp_path: Path) -> None:
    """Three stages with two workers each, kill -9 of workers and orchestrators again and again: all arrive, once."""
    line = Line(tmp_path, HOP, reap_after=1.0)
    for number, name in enumerate("abc"):
        line.stage(name, "Hop", number, workers=2)
    barcodes = [f"B{number}" for number in range(BOOKS)]
    line.seed(barcodes)
    inodes = {barcode: found[0][1] for barcode, found in line.tokens().items()}
    assert len(inodes) == BOOKS

    dice, kills, up = random.Random(7), 0, line.up()
    while kills < KILLS:
        time.sleep(dice.uniform(0.01, 0.12))
        victims = line.workers() + ([up.pid] if dice.random() < 0.1 else [])
        if victims:
            victim = dice.choice(victims)
            os.kill(victim, signal.SIGKILL)
            kills += 1
        if up.poll() is not None:
            up = line.up()
    os.kill(up.pid, signal.SIGKILL)
    up.wait()

    assert line.drain(timeout=120) == 0, line.log()[-2000:]
    found = line.tokens()
    assert sorted(found) == sorted(barcodes)
    assert {barcode: places for barcode, places in found.items() if len(places) != 1} == {}
    assert {places[0][0] for places in found.values()} == {"03_b"}
    assert {barcode: places[0][1] for barcode, places in found.items()} == inodes
    work = sum(line.kinds(barcode).count("attempt") for barcode in barcodes)
    assert work <= 3 * BOOKS + kills + 1
