"""The same price with a thousand tokens and with a million. GRIN_SCALE=1000000 makes it the whole million."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from common import board, config
from common.feed import Feed
from common.ledger import Ledger
from services.orchestrator.collector import registry
from services.orchestrator.view import View
from tests.helpers import GRIN_PIPELINE

SCALE = int(os.environ.get("GRIN_SCALE", "50000"))
ROWS = """\
global: {gpg_passphrase: x}
filters:
  - {name: one, class: Decryptor, input_pipe: pipeline/01_in, output_pipe: pipeline/02_out}
"""


def barcodes(count: int) -> Iterator[str]:
    """Barcodes as a library has them: far apart, with a last three digits that spread."""
    return (f"3210{number * 7919 % 10**10:010}" for number in range(count))


def fill(bucket: Path, count: int) -> None:
    """Waiting tokens; nothing is synced, so it is quick."""
    token = b'{"barcode": "x"}'
    for barcode in barcodes(count):
        fd = os.open(board.path_of(bucket, barcode, board.WAITING), os.O_CREAT | os.O_WRONLY)
        os.write(fd, token)
        os.close(fd)


def per_call(call: Callable[[], object], times: int) -> float:
    """CPU seconds of one call, the median of five rounds."""
    rounds = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(times):
            call()
        rounds.append((time.process_time() - began) / times)
    return statistics.median(rounds)


def claim_cost(root: Path, count: int) -> float:
    """CPU seconds of one claim in a bucket of so many tokens, the first listing included."""
    bucket = root / f"{count}_in"
    board.prepare(root, [bucket])
    fill(bucket, count)
    feed = Feed(bucket, "w-1")
    return per_call(lambda: feed.next(0.0), 150)


@pytest.mark.slow
def test_a_claim_costs_the_same(root: Path, figure: Callable[[str], None]) -> None:
    """A claim among very many tokens costs at most twice one among a thousand, the first one included."""
    few, many = claim_cost(root, 1_000), claim_cost(root, SCALE)
    figure(f"claim {few * 1e6:.0f} us among 1,000, {many * 1e6:.0f} us among {SCALE:,}")
    assert many < 2 * few, (few, many)


def test_a_listing_for_each_claim_does_not(root: Path) -> None:
    """The twin: a feed that lists the whole bucket for each claim is noticed by the same measure."""

    def listing_all(bucket: Path) -> object:
        return sorted(os.listdir(bucket))[0]

    costs = []
    for count in (1_000, 20_000):
        bucket = root / f"{count}_twin"
        board.prepare(root, [bucket])
        fill(bucket, count)
        costs.append(per_call(lambda at=bucket: listing_all(at), 5))  # type: ignore[misc]
    assert costs[1] > 2 * costs[0]


@pytest.mark.slow
def test_a_scrape_of_a_deep_board(tmp_path: Path, figure: Callable[[str], None]) -> None:
    """Depth and age of very many tokens, waiting and done, cost under a second a scrape; a quiet board next to none."""
    (tmp_path / "config.yaml").write_text(ROWS)
    settings = config.load(tmp_path / "config.yaml")
    root = settings.global_.pipeline_dir
    board.prepare(root, settings.bucket_paths())
    fill(root / "01_in", SCALE)
    fill(root / "02_out", SCALE // 10)
    held = registry(View(settings))
    seconds = []
    for _ in range(4):
        (root / "01_in" / f"A{len(seconds)}.json").write_text("{}")
        began = time.process_time()
        text = generate_latest(held).decode()
        seconds.append(time.process_time() - began)
    (line,) = [line for line in text.splitlines() if 'bucket="01_in",state="waiting"' in line]
    assert float(line.split()[-1]) == SCALE + 4
    time.sleep(2.5)
    generate_latest(held)
    began = time.process_time()
    generate_latest(held)
    quiet = time.process_time() - began
    figure(f"scrape {max(seconds):.3f} s at {SCALE:,} tokens, {quiet:.3f} s when nothing has changed")
    assert max(seconds) < 1.0
    assert quiet < max(seconds)


@pytest.mark.slow
def test_seeding_very_many(tmp_path: Path, figure: Callable[[str], None]) -> None:
    """Seeding is streamed, with progress: memory does not grow with the list; seeding it again adds nothing."""
    (tmp_path / "config.yaml").write_text(ROWS)
    count = SCALE // 5
    (tmp_path / "list").write_text("\n".join(barcodes(count)))
    command = [*GRIN_PIPELINE, "seed", "--config", str(tmp_path / "config.yaml"), "--from", str(tmp_path / "list")]
    began = time.monotonic()
    seeded = subprocess.run(command, capture_output=True, text=True, check=True)
    took = time.monotonic() - began
    assert f"{count:,} seeded in 01_in" in seeded.stdout
    assert "a second …" in seeded.stderr
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"0 seeded in 01_in, {count:,} were known already" in again.stdout
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    figure(f"seeding {count / took:,.0f} books a second, {peak:.0f} MB at most")
    assert len(os.listdir(tmp_path / "pipeline" / "01_in")) - 4 == count


def test_memory_of_seeding_is_flat(tmp_path: Path) -> None:
    """Ten times as many known books need no more memory."""
    (tmp_path / "config.yaml").write_text(ROWS)
    code = (
        "import resource, sys; from services.orchestrator.cli import main; "
        "main(sys.argv[1:]); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for count in (2_000, 20_000):
        (tmp_path / "list").write_text("\n".join(f"A{number % 500}" for number in range(count)))
        command = ["seed", "--config", str(tmp_path / "config.yaml"), "--from", str(tmp_path / "list")]
        ran = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=True)
        peaks.append(int(ran.stdout.split()[-1]))
    assert peaks[1] < 1.05 * peaks[0], peaks


def test_the_ledger_spreads(root: Path) -> None:
    """No folder of the ledger holds more than its share: a million books are a thousand folders of a thousand."""
    ledger, shares = Ledger(root / "ledger"), {}
    for barcode in barcodes(100_000):
        folder = ledger.path(barcode).parent.name
        shares[folder] = shares.get(folder, 0) + 1
    assert len(shares) == 1000
    assert max(shares.values()) < 200
