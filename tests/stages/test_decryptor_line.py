"""A damaged archive on a real board: fetched anew, counted, and failed when a fresh one is no better."""

from __future__ import annotations

from pathlib import Path

import pytest
from decrypting import PLAIN, encrypt, end_agent

from tests.helpers import Line

STAGES = """
from pathlib import Path
from common.stage import Stage
from services.decryptor.stage import Decryptor

class Fetch(Stage):
    def process(self, book, work):
        fetched = sum(event["event"] == "done" and event["stage"] == "fetch" for event in book.events)
        shelf = Path(self.options["shelf"])
        sent = shelf / f"{book.barcode}.{fetched + 1}"
        (work / f"{book.barcode}.tar.gz.gpg").write_bytes((sent if sent.exists() else shelf / "bad").read_bytes())
"""


@pytest.mark.slow
def test_damage_goes_back_to_be_fetched_and_then_fails(tmp_path: Path) -> None:
    """GOOD passes, MENDED is damaged once, BAD always: its second archive is as bad, so it fails with the reason."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    good = encrypt(PLAIN, tmp_path / "home")
    end_agent(tmp_path / "home")
    bad = good[:5000] + b"?" + good[5001:-1]
    for name, data in {"bad": bad, "GOOD.1": good, "MENDED.1": bad, "MENDED.2": good}.items():
        (shelf / name).write_bytes(data)
    (tmp_path / "passphrase").write_text("correct horse\n")
    line = Line(tmp_path, STAGES, gpg_passphrase_file="passphrase", temp_dir="tmp", processing_bucket="processing")
    line.stage("fetch", "Fetch", 0, options={"shelf": str(shelf)}).stage("decryptor", "Decryptor", 1)
    line.seed(["GOOD", "MENDED", "BAD"])
    line.drain()
    assert {barcode: line.places(barcode) for barcode in ("GOOD", "MENDED", "BAD")} == {
        "GOOD": ["02_b"],
        "MENDED": ["02_b"],
        "BAD": ["01_b/failed"],
    }
    for barcode in ("GOOD", "MENDED"):
        assert (tmp_path / "processing" / barcode / "decryptor" / f"{barcode}.tar.gz").read_bytes() == PLAIN
    redos = {
        barcode: [e for e in line.events(barcode) if e["event"] == "redo"] for barcode in ("GOOD", "MENDED", "BAD")
    }
    assert [len(events) for events in redos.values()] == [0, 1, 1]
    assert redos["BAD"][0]["to"] == "fetch"
    [failed] = [event for event in line.events("BAD") if event["event"] == "failed"]
    assert "it is cut short, or was changed after it was encrypted" in failed["reason"]
    assert "Made again, from the fetch on, it ended the same way." in failed["reason"]
    assert not list((tmp_path / "processing").rglob(".scratch/*"))
    assert not list((tmp_path / "processing" / "BAD").rglob("*.tar.gz"))
