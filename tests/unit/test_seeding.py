"""Where new books come from, and what is refused before the first is seeded."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from common import config, run
from common.config import Settings
from common.errors import ConfigError
from services.orchestrator.seeding import Source, Wish, bucket_for, sampled, seed

ROWS = """\
global: {gpg_passphrase: x}
filters:
  - {name: one, class: Decryptor, input_pipe: pipeline/01_in, output_pipe: pipeline/02_mid}
  - {name: two, class: Uploader, input_pipe: pipeline/02_mid, output_pipe: pipeline/03_out}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Two stages, no downloader."""
    (tmp_path / "config.yaml").write_text(ROWS)
    return config.load(tmp_path / "config.yaml")


def opened(settings: Settings, wish: Wish) -> list[str]:
    """All barcodes of a wish."""
    with Source(settings, wish) as barcodes:
        return list(barcodes)


def test_from_a_file(settings: Settings, tmp_path: Path) -> None:
    """A file has a barcode a line; blank lines and remarks are passed over; a limit is kept."""
    (tmp_path / "list").write_text("A1\n\n# remark\n  B2  \nC3\n")
    wish = Wish(source=str(tmp_path / "list"))
    assert opened(settings, wish) == ["A1", "B2", "C3"]
    assert opened(settings, Wish(source=str(tmp_path / "list"), limit=2)) == ["A1", "B2"]


def test_all_bad_lines_are_told(settings: Settings, tmp_path: Path) -> None:
    """Every bad line is named, up to twenty, before anything is seeded."""
    (tmp_path / "list").write_text("GOOD\n" + "bad one\n" * 30)
    with pytest.raises(ConfigError) as caught:
        opened(settings, Wish(source=str(tmp_path / "list")))
    assert caught.value.problems[0].startswith(f"{tmp_path}/list:2: 'bad one'")
    assert "10 more" in caught.value.problems[20]


def test_a_list_that_cannot_be_read(settings: Settings) -> None:
    """A file that is not there is a sentence."""
    with pytest.raises(ConfigError, match="No such file"):
        opened(settings, Wish(source="nowhere"))


def test_nothing_wished_nothing_seeded(settings: Settings) -> None:
    """A line that does not begin with a downloader asks GRIN for nothing by itself."""
    assert opened(settings, Wish()) == []


def test_a_sample_is_always_the_same() -> None:
    """The sample depends on the books alone, not on the order in which they come."""
    books = [f"A{number}" for number in range(100)]
    assert sorted(sampled(books, 5)) == sorted(sampled(reversed(books), 5))
    assert len(list(sampled(books, 5))) == 5


def test_buckets(settings: Settings) -> None:
    """New tokens go to the first bucket, or to the one that is named; another name is answered with those there are."""
    assert bucket_for(settings, None).name == "01_in"
    assert bucket_for(settings, "02_mid").name == "02_mid"
    with pytest.raises(ConfigError, match="01_in, 02_mid, 03_out"):
        bucket_for(settings, "07")


def test_dry_run_changes_nothing(settings: Settings, tmp_path: Path) -> None:
    """A dry run counts what is new and makes no file."""
    *_, tally = seed(settings, ["A1", "B2", "A1"], bucket_for(settings, None), dry_run=True)
    assert (tally.new, tally.known) == (2, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    "place", ["01_in/failed", "02_mid", "02_mid/deferred", "02_mid/working", "02_mid/held", "03_out"]
)
def test_a_lost_ledger_doubles_no_book(settings: Settings, place: str) -> None:
    """Whatever has become of the ledger, a book whose token lies anywhere on the board is known."""
    root = settings.global_.pipeline_dir
    run.prepare(root, settings.bucket_paths())
    bucket = bucket_for(settings, None)
    books = ["B1", "B2", "B3"]
    assert list(seed(settings, books, bucket))[-1].new == 3
    for barcode in books:
        name = f"{barcode}~one-h-1-ab.1.json" if place.endswith("working") else f"{barcode}.json"
        (bucket / f"{barcode}.json").rename(root / place / name)
    # What shows that the ledger was lost.
    (root / "02_mid" / "C1.json").write_text('{"barcode": "C1"}')
    shutil.rmtree(root / "ledger")
    tally = list(seed(settings, [*books, "D1"], bucket))[-1]
    assert (tally.new, tally.known) == (1, 3)
    assert [path.name for path in bucket.glob("*.json")] == ["D1.json"]
