"""`report` after a whole run: what it says of a book is what lies in the store.

REPORT_BOOKS=100000 makes the ledger as large as a big library's; without it there are 2,000 books.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.store import open_bucket
from services.orchestrator.cli import main
from services.orchestrator.report import BIBLIOGRAPHIC, COLUMNS
from tests.e2e.conftest import Grin, Pipeline
from tests.helpers import GRIN_PIPELINE, measured
from tests.objects.server import Server

BOOKS = int(os.environ.get("REPORT_BOOKS", "2000"))


def reported(pipeline: Pipeline, *more: str) -> tuple[Path, int]:
    """The file that `report` writes, and its exit code."""
    target = pipeline.folder / "held"
    return target, main(["report", "--config", str(pipeline.config), "--output", str(target), *more])


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def objects(path: Path) -> list[dict[str, Any]]:
    """The objects of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def check(told: dict[str, str], record: dict[str, Any]) -> None:
    """What a row says against the files in the store and what the book's maker knows."""
    bucket, key = Path(told["done_bucket"]), told["key"]
    data = (bucket / key).read_bytes()
    assert (told["size"], told["sha256"]) == (str(len(data)), hashlib.sha256(data).hexdigest())
    with tarfile.open(bucket / key) as package:
        names = package.getnames()
    assert told["members"] == str(len(names))
    assert told["pages"] == str(sum(name.endswith((".tif", ".jp2")) for name in names)) == str(record["pages"])
    beside = {told["provenance"], key, *told["sidecars"].split("; ")}
    assert {str(bucket / name) for name in beside} == {str(path) for path in (bucket / told["barcode"]).rglob("*")}
    provenance = json.loads((bucket / told["provenance"]).read_bytes())
    assert told["warnings"] == str(len(provenance["warnings"]))
    assert told["encrypted_sha256"] == provenance["steps"][0]["facts"]["sha256"]
    catalogue = json.loads((bucket / f"{told['barcode']}/{told['barcode']}.marc.json").read_bytes())
    assert {name: told[name] for name in BIBLIOGRAPHIC} == {name: catalogue[name] or "" for name in BIBLIOGRAPHIC}


@pytest.fixture(scope="module")
def drained(tmp_path_factory: pytest.TempPathFactory, grin: Grin) -> Pipeline:
    """A board whose books are done: three good ones."""
    made = Pipeline(tmp_path_factory.mktemp("drained"), grin)
    chosen = sorted(set(grin.books()) - grin.poisoned())[:3]
    assert made.drain(*(f"--barcode={barcode}" for barcode in chosen), timeout=120) == 0, made.log()
    return made


def test_what_is_in_the_store(drained: Pipeline) -> None:
    """Each good book has a row that is true, and twice the same bytes."""
    books = drained.grin.books()
    target, code = reported(drained)
    told = rows(target)
    assert code == 0
    assert {row["barcode"] for row in told} == set(drained.tokens())
    for row in told:
        assert list(row) == list(COLUMNS)
        assert row["title"].removesuffix(" /") == books[row["barcode"]]["title"]
        check(row, books[row["barcode"]])
    before = target.read_bytes()
    assert reported(drained)[0].read_bytes() == before


def test_json_tells_the_same(drained: Pipeline) -> None:
    """Each cell of the CSV is in the JSON lines, with a type."""
    told = rows(reported(drained)[0])
    same = objects(reported(drained, "--json")[0])
    assert len(same) == len(told) > 0
    for row, one in zip(told, same, strict=True):
        flat = {key: "; ".join(value) if isinstance(value, list) else value for key, value in one.items()}
        assert {key: "" if value is None else str(value) for key, value in flat.items()} == row


def test_by_rebuilt_ledgers(drained: Pipeline) -> None:
    """The ledgers are lost, which is no empty report; written again from the store they tell the same."""
    target, _ = reported(drained)
    told = rows(target)
    shutil.rmtree(drained.root / "ledger")
    assert reported(drained) == (target, 3)
    assert rows(target) == told
    assert main(["audit", "--config", str(drained.config), "--no-grin", "--rebuild"]) == 0
    rebuilt = rows(reported(drained)[0])
    # When it was delivered is by then the time of its provenance in the store, a moment earlier.
    assert [row | {"delivered": ""} for row in rebuilt] == [row | {"delivered": ""} for row in told]


def test_records_of_old_books(drained: Pipeline) -> None:
    """Ledgers of a time before records were noted: --read-store has them all the same, and nothing else changes."""
    told = rows(reported(drained)[0])
    for path in (drained.root / "ledger").glob("*/*.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            line.get("facts", {}).pop("record", None)
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert {row["title"] for row in rows(reported(drained)[0])} == {""}
    assert rows(reported(drained, "--read-store")[0]) == told


def test_records_in_an_object_store(drained: Pipeline, s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same from S3; a store that refuses us ends it with code 3, and the old report stays."""
    for name, value in s3_server.environ().items():
        monkeypatch.setenv(name, value)
    told, url = rows(reported(drained, "--read-store")[0]), s3_server.url()
    bucket = open_bucket(url, drained.folder)
    for path in (drained.folder / "done").rglob("*.marc.json"):
        bucket.put_bytes(str(path.relative_to(drained.folder / "done")), path.read_bytes())
    # As if they had gone there: a ledger tells where its book went.
    for path in (drained.root / "ledger").glob("*/*.jsonl"):
        path.write_text(path.read_text().replace(json.dumps(str(drained.folder / "done")), json.dumps(url)))
    monkeypatch.setitem(drained.common, "done_bucket", url)
    drained.write()
    target, code = reported(drained, "--read-store")
    assert (code, rows(target)) == (0, [row | {"done_bucket": url} for row in told])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert reported(drained, "--read-store") == (target, 3)
    assert len(rows(target)) == len(told)


def test_a_large_library_in_little_memory(drained: Pipeline, tmp_path: Path, figure: Callable[[str], None]) -> None:
    """The memory does not grow with the books."""
    barcode = rows(reported(drained)[0])[0]["barcode"]
    story = drained.root / "ledger" / barcode[-3:] / f"{barcode}.jsonl"
    large = Pipeline(tmp_path, drained.grin)
    for number in range(BOOKS):
        name = f"32101{number:09}"
        path = large.root / "ledger" / name[-3:] / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(story.read_text().replace(barcode, name))
    target, began = tmp_path / "held.csv", time.monotonic()
    command = [*GRIN_PIPELINE, "report", "--config", str(large.config), "--output", str(target)]
    done, peak = measured(command)
    rate = BOOKS / (time.monotonic() - began)
    figure(
        f"{BOOKS:,} books, {target.stat().st_size / 1e6:.1f} MB, {rate:,.0f} books a second, {peak:.0f} MB of memory"
    )
    assert (done.returncode, peak < 100) == (0, True), done.stderr
    assert len(rows(target)) == BOOKS
