"""The disk loses what was extracted: it is made again from the encrypted archive, and GRIN is asked once a book."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from common import manifest
from tests.e2e.conftest import Pipeline, serving
from tests.e2e.test_pipeline import assert_all_home
from tests.e2e.test_weather import told_of
from tests.helpers import stop, until


def _flip(folder: Path) -> None:
    path = folder / "members" / "00000001.txt"
    path.write_bytes(bytes([*path.read_bytes()[:-1], 0]))


def _lose(folder: Path) -> None:
    (folder / "members" / "00000002.html").unlink()


def _empty(folder: Path) -> None:
    shutil.rmtree(folder / "members")
    (folder / manifest.NAME).unlink()


def _older(folder: Path) -> None:
    """As a release wrote it that knew of no CRC-32."""
    path = folder / manifest.NAME
    told = json.loads(path.read_bytes())
    for member in told["members"].values():
        del member["crc32"]
    path.write_text(json.dumps(told))


LOSSES: tuple[Callable[[Path], None], ...] = (_flip, _lose, _empty, _older)


@pytest.mark.slow
def test_it_is_made_again_without_grin(tmp_path: Path) -> None:
    """A byte, a file, everything, or a manifest of another release: each book goes back to the decryptor, once."""
    (tmp_path / "grin").mkdir()
    with serving(tmp_path / "grin", len(LOSSES), "--pages", "4:5") as grin:
        line = Pipeline(tmp_path, grin)
        (line.root / "paused").mkdir(parents=True)
        (line.root / "paused" / "modifier").touch()
        up = line.up()
        until(lambda: len(list(line.bucket(3).glob("*.json"))) == len(LOSSES), 60)
        stop(up)
        for lose, barcode in zip(LOSSES, sorted(grin.books()), strict=True):
            lose(tmp_path / "processing" / barcode / "extractor")
        asked = len(told_of(grin, "requests"))
        (line.root / "paused" / "modifier").unlink()
        assert line.drain(timeout=120) == 0, line.log()[-3000:]
        assert_all_home(line)
        fetched = [one for one in told_of(grin, "requests")[asked:] if str(one["path"]).endswith(".gpg")]
    assert fetched == []
    for barcode in grin.books():
        redone = [(event["stage"], event["to"]) for event in line.events(barcode) if event["event"] == "redo"]
        assert redone == [("modifier", "decryptor")]
        assert line.kinds(barcode).count("failed") == 0
