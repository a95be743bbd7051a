"""`report`: what a book's row says, which books have one, and how it is written."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from common import board, config
from common.ledger import Ledger
from services.orchestrator.cli import main
from services.orchestrator.report import BIBLIOGRAPHIC, COLUMNS, held, row
from tests.audits import killed_at
from tests.helpers import GRIN_PIPELINE

ETAG = '"c74cadab-c168c-18eb61926e950e19-0"'
RECORD = {"control_number": "9909", "title": "=Der stille Turm /", "date1": "1890", "subjects": ["Rivers", "Towers"]}
Line = dict[str, Any]


def stage(name: str, **facts: object) -> Line:
    """A stage is done with a book."""
    return {"time": "2026-01-02T03:04:05.000Z", "event": "done", "stage": name, "facts": facts}


def made(barcode: str, **modifier: object) -> list[Line]:
    """The stages before the uploader; more facts of the modifier, or others."""
    package = {"name": f"{barcode}.tar.gz"}
    told = {"pages": 10, "members": 31, "warnings": ["odd", "empty"], "package": package, "record": RECORD}
    return [
        stage("downloader", etag=ETAG, sha256="e" * 64, size=9),
        stage("extractor", members=32, sha256="a" * 64, fixity="checksum.md5", warnings=["odd", "small"]),
        stage("modifier", **(told | modifier)),
    ]


def put(barcode: str, number: int = 1, time: str = "2026-02-03T04:05:06.000Z", **more: object) -> Line:
    """An upload of a package and two sidecars."""
    folder = barcode if number == 1 else f"{barcode}/v{number}"
    names = (f"{barcode}.marc.json", f"{barcode}.tar.gz", f"{barcode}.txt")
    files = [{"name": name, "size": number, "sha256": str(number) * 64, "key": f"{folder}/{name}"} for name in names]
    facts = {"files": files, "provenance": f"{folder}/provenance.json", "book_version": number, **more}
    return {**stage("uploader", **facts), "time": time}


def book(barcode: str, *more: Line) -> list[Line]:
    """The whole story of a book that was delivered once, and what came after that."""
    return [{"time": "2026-01-01T00:00:00Z", "event": "registered"}, *made(barcode), put(barcode), *more]


class Place:
    """A board of two buckets, its ledgers, and the command in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.config, self.done = folder, folder / "config.yaml", folder / "done"
        pipes = {"input_pipe": "pipeline/00_in", "output_pipe": "pipeline/01_out"}
        common = {"library": "TESTLIB", "done_bucket": "done"}
        filters = [{"name": "uploader", "class": "Uploader", **pipes}]
        self.config.write_text(yaml.safe_dump({"global": common, "filters": filters}))
        self.settings = config.load(self.config, environ={})
        board.prepare(folder / "pipeline", self.settings.bucket_paths())
        self.ledger = Ledger(folder / "pipeline" / "ledger")

    def tell(self, barcode: str, events: list[Line]) -> Path:
        """Write a book's ledger."""
        path = self.ledger.path(barcode)
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{json.dumps(event)}\n" for event in events))
        return path

    def report(self, *more: str) -> int:
        """Run the command; its exit code."""
        return main(["report", "--config", str(self.config), *more])

    def process(self, *more: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run the command in a process of its own."""
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **options.pop("environ", {})}
        command = [*GRIN_PIPELINE, "report", "--config", str(self.config), *more]
        return subprocess.run(command, env=environ, capture_output=True, check=False, **options)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A board without a book."""
    return Place(tmp_path)


def table(text: str) -> list[dict[str, str]]:
    """The rows of a CSV."""
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def objects(text: str) -> list[Line]:
    """The objects of JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


# --- a book's row ---------------------------------------------------------------------------------------------------


def test_all_that_is_known(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Identity, record, what was verified, where it is, checksums, and Google's own name for it; the rest is empty."""
    place.tell("A1", book("A1"))
    assert place.report("--json") == 0
    [told] = objects(capsys.readouterr().out)
    assert tuple(told) == COLUMNS
    bibliographic = {name: told.pop(name) for name in BIBLIOGRAPHIC}
    assert {name: value for name, value in bibliographic.items() if value is not None} == RECORD
    assert told == {
        "barcode": "A1",
        "library": "TESTLIB",
        "version": 1,
        "delivered": "2026-02-03T04:05:06.000Z",
        "pages": 10,
        "members": 31,
        "warnings": 3,
        "fixity": "checksum.md5",
        "done_bucket": str(place.done),
        "key": "A1/A1.tar.gz",
        "size": 1,
        "sha256": "1" * 64,
        "provenance": "A1/provenance.json",
        "sidecars": ["A1/A1.marc.json", "A1/A1.txt"],
        "etag": ETAG,
        "encrypted_sha256": "e" * 64,
        "total_size": 1,
    }


@pytest.mark.parametrize(("tree", "total"), [({"tree_files": 31, "tree_bytes": 900}, 907), ({}, None)])
def test_the_size_of_loose_files(tree: Line, total: int | None) -> None:
    """The manifest's own size is small; the book's is that of all files that it names, where somebody has told it."""
    name = "manifest-sha256.txt"
    files = [{"name": name, "size": 7, "sha256": "7" * 64, "key": f"A1/{name}"}]
    [one] = held("A1", [*made("A1", package={"name": name}, tree=True), put("A1", files=files, **tree)])
    told = row(one, "L", "d")
    assert (told["key"], told["size"], told["total_size"]) == (f"A1/{name}", 7, total)


def test_csv_tells_the_same(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """As text, lists with semicolons, nothing for what nobody knows, lines ended as RFC 4180 has it."""
    place.tell("A1", book("A1"))
    assert place.report("--json") == 0
    [told] = objects(capsys.readouterr().out)
    assert place.report() == 0
    text = capsys.readouterr().out
    assert text.split("\r\n")[0] == ",".join(COLUMNS)
    assert text.count("\r\n") == text.count("\n") == 2
    flat = {key: "; ".join(value) if isinstance(value, list) else value for key, value in told.items()}
    assert table(text) == [{key: "" if value is None else str(value) for key, value in flat.items()}]


def test_data_stays_as_it_is(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Quotes, commas, line breaks, formulas of spreadsheets and other scripts come out as they went in."""
    values = {
        "title": '=HYPERLINK("x"),\r\nwith "quotes"',
        "notes": "-1 \n@ +2",
        "genres": "小説; Роман",
        "isbn": "\ufeff",
    }
    place.tell("A1", [*made("A1", record=values), put("A1")])
    assert place.report() == 0
    [told] = table(capsys.readouterr().out)
    assert {name: told[name] for name in values} == values


def test_the_version_that_is_held(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """One row a book, the version delivered last, with the facts of its own making; with --versions the others."""
    renewed = {"time": "2026-03-01T00:00:00Z", "event": "renewed"}
    second = [*made("A1", record={"title": "Other"}, pages=11), put("A1", 2, "2026-03-02T00:00:00Z")]
    third = [stage("modifier", package={"name": "A1.tar.gz"}), put("A1", 1, "2026-04-01T00:00:00Z", unchanged=True)]
    place.tell("A1", book("A1", renewed, *second))
    place.tell("B1", book("B1", renewed, *second, renewed, *third))
    assert place.report("--json", "A1") == place.report("--json", "--versions", "A1", "B1") == 0
    told = [(t["barcode"], t["version"], t["key"], t["title"], t["pages"]) for t in objects(capsys.readouterr().out)]
    newest = ("A1", 2, "A1/v2/A1.tar.gz", "Other", 11)
    assert told == [
        newest,
        ("A1", 1, "A1/A1.tar.gz", RECORD["title"], 10),
        newest,
        # Google went back to the first one, and the modifier told nothing more of it.
        ("B1", 2, "A1/v2/A1.tar.gz", "Other", 11),
        ("B1", 1, "A1/A1.tar.gz", None, None),
    ]


def test_told_twice_by_the_uploader(place: Place) -> None:
    """A second upload of what was made once has the facts of the same stages; a stage made again has its newest."""
    twice = held(
        "A1", [*made("A1", warnings=["gone"]), *made("A1", pages=12), put("A1"), put("A1", time="2026-02-04T00:00:00Z")]
    )
    [told] = [row(one, "L", "d") for one in twice]
    assert (told["pages"], told["title"], told["warnings"]) == (12, RECORD["title"], 3)
    assert told["delivered"] == "2026-02-04T00:00:00Z"


def test_late_work_does_not_count(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """What a worker wrote after its claim was taken back is not what is held."""
    returned = {"event": "returned", "claim": "w.1"}
    late = {**put("A1", 7), "claim": "w.1"}, {**stage("modifier", pages=7), "claim": "w.1"}
    place.tell("A1", [*made("A1"), returned, *late, put("A1"), *late])
    assert place.report("--json") == 0
    assert [(told["version"], told["pages"]) for told in objects(capsys.readouterr().out)] == [(1, 10)]


def test_the_bucket_of_the_book(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """A book that says in which bucket it is, is in that one; a configured URL stays a URL."""
    place.tell("A1", [put("A1", done_bucket="gs://other/x")])
    place.tell("B1", [put("B1")])
    place.config.write_text(place.config.read_text().replace("done_bucket: done", "done_bucket: s3://held/books"))
    assert place.report("--json") == 0
    assert [told["done_bucket"] for told in objects(capsys.readouterr().out)] == ["gs://other/x", "s3://held/books"]


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=4), lambda i: st.lists(i, max_size=2))
NAMES = ("record", "pages", "members", "warnings", "package", "etag", "sha256", "fixity", "done_bucket")


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.dictionaries(st.sampled_from(NAMES), JSON | st.dictionaries(st.sampled_from(BIBLIOGRAPHIC), JSON)))
def test_strange_facts(facts: Line) -> None:
    """Whatever somebody wrote into a ledger, the row has its columns, each of a type that CSV and JSON can show."""
    for one in held("A1", [stage("odd", **facts), put("A1", done_bucket=facts.get("done_bucket"))]):
        told = row(one, "L", "d")
        assert tuple(told) == COLUMNS
        assert (told["key"], told["size"]) in (("A1/A1.marc.json", 1), ("A1/A1.tar.gz", 1))
        texts = [text for value in told.values() for text in (value if isinstance(value, list) else [value])]
        assert all(text is None or type(text) in (str, int) for text in texts)


# --- which books ----------------------------------------------------------------------------------------------------


def test_only_what_is_held(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Books on their way have no row, and are no fault; folders in order, names in order, strangers passed over."""
    for barcode in ("B001", "A001", "Z000", "C001"):
        place.tell(barcode, book(barcode))
    place.tell("C001", made("C001"))
    (place.ledger.folder / "stray").touch()
    (place.ledger.folder / "001" / "~.jsonl").touch()
    assert place.report() == 0
    told = capsys.readouterr()
    assert [one["barcode"] for one in table(told.out)] == ["Z000", "A001", "B001"]
    assert told.err == "4 books looked at, 3 rows.\n"


def test_since(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """A day begins at midnight UTC, a time may have a zone; a delivery that tells no time is always told."""
    place.tell("A1", book("A1"))
    place.tell("B2", [put("B2", time="long ago")])
    whens = ("2026-02-03", "2026-02-03T05:05:06+01:00", "2026-02-03T04:05:06.001", "2026-02-04")
    counts = []
    for when in whens:
        assert place.report("--since", when, "--json") == 0
        counts.append([told["barcode"] for told in objects(capsys.readouterr().out)])
    assert counts == [["A1", "B2"], ["A1", "B2"], ["B2"], ["B2"]]
    with pytest.raises(SystemExit, match="2"):
        place.report("--since", "yesterday")
    assert "'yesterday' is no date such as 2026-01-31" in capsys.readouterr().err


def test_named_books(place: Place) -> None:
    """As named, each once; one that is not held is told of, with code 1; what is no barcode ends it with code 2."""
    place.tell("A1", book("A1"))
    place.tell("B2", made("B2"))
    given = place.process("-", "--json", input=b"C3\n\n# those\nB2\nA1\nA1\n")
    assert [told["barcode"] for told in objects(given.stdout.decode())] == ["A1"]
    assert given.stderr.decode().splitlines() == [
        "C3: nothing is known of it, so it is not held.",
        "B2: it has not been delivered yet, so it is not held.",
        "3 books looked at, 1 row; 2 books with problems.",
    ]
    assert given.returncode == 1
    bad = place.process("-", "A1", input=b"A1\n../x\n")
    assert (bad.returncode, bad.stdout) == (2, b"")
    assert b"line 2: '../x' is no barcode" in bad.stderr


def test_the_books_of_a_bucket(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Tokens in any state of it; a bucket that is none, or barcodes beside it, end it with code 2."""
    for barcode, where in (("A1", "01_out"), ("B2", "00_in/held"), ("C3", "00_in")):
        place.tell(barcode, book(barcode))
        (place.folder / "pipeline" / where / f"{barcode}.json").write_text("{}")
    assert place.report("--bucket", "00_in", "--json") == 0
    assert sorted(told["barcode"] for told in objects(capsys.readouterr().out)) == ["B2", "C3"]
    assert place.report("--bucket", "07") == place.report("--bucket", "00_in", "A1") == 2
    said = capsys.readouterr().err
    assert "There is no bucket '07'" in said
    assert "do not go together" in said


# --- what goes wrong ------------------------------------------------------------------------------------------------


def test_damaged_ledgers(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is told of, the others are in the report, and the code is 1."""
    for barcode in ("A1", "Z9"):
        place.tell(barcode, book(barcode))
    place.tell("B2", []).write_bytes(b"\0" * 4096)
    place.ledger.path("C3").mkdir(parents=True)
    place.tell("D4", []).unlink()
    os.mkfifo(place.ledger.path("D4"))
    place.tell("E5", []).unlink()
    place.ledger.path("E5").symlink_to("/etc/hostname")
    assert place.report("--output", str(place.folder / "held.csv")) == 1
    assert [told["barcode"] for told in table((place.folder / "held.csv").read_text())] == ["A1", "Z9"]
    *said, last = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in said] == ["B2", "C3", "D4", "E5"]
    assert "no line of it can be read" in said[0]
    assert all("it is no regular file" in line for line in said[1:])
    assert last == f"6 books looked at, 2 rows in {place.folder}/held.csv; 4 books with problems."


def test_many_of_them(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Twenty are named, the others counted."""
    for number in range(30):
        place.tell(f"A{number:02}", []).touch()
    assert place.report() == 1
    *said, rest, last = capsys.readouterr().err.splitlines()
    assert (len(said), rest[:1], last) == (20, "…", "30 books looked at, 0 rows; 30 books with problems.")


def test_a_lost_ledger(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Books are done and there is no ledger: code 3 with its cure, and the old report stays. A new board is empty."""
    target = place.folder / "held.csv"
    assert place.report("--output", str(target)) == 0
    assert target.read_bytes().decode() == ",".join(COLUMNS) + "\r\n"
    target.write_text("old")
    (place.folder / "pipeline" / "01_out" / "A1.json").write_text("{}")
    assert place.report("--output", str(target)) == 3
    assert "audit --rebuild" in capsys.readouterr().err
    assert beside(target) == {"held.csv": "old"}


def test_no_board(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the first run there is nothing to report, which is said."""
    place = Place(tmp_path)
    place.config.write_text(
        place.config.read_text().replace("done_bucket: done", "pipeline_dir: new").replace("pipeline/", "new/")
    )
    assert place.report() == 2
    assert "There is no board at" in capsys.readouterr().err


# --- where it is written --------------------------------------------------------------------------------------------


def beside(target: Path) -> dict[str, str]:
    """The report and its drafts, whatever they are called."""
    return {path.name: path.read_text() for path in target.parent.iterdir() if target.name in path.name}


def test_a_full_disk_leaves_the_old_report(place: Place) -> None:
    """A disk that takes no more ends it with code 3; neither a part nor a draft is left."""
    for barcode in ("A1", "B2", "C3", "D4"):
        place.tell(barcode, book(barcode))
    target = place.folder / "held.csv"
    target.write_text("old")
    limited = [*GRIN_PIPELINE, "report", "--config", str(place.config), "--output", str(target)]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    shell = ["bash", "-c", 'ulimit -f 1; exec "$@"', "bash", *limited]
    ended = subprocess.run(shell, env=environ, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.splitlines()[0]) == (3, "That could not be done: [Errno 27] File too large.")
    assert beside(target) == {"held.csv": "old"}


def test_killed_anywhere(place: Place) -> None:
    """The old report or the new one, whole; the next run sweeps what was left."""
    place.tell("A1", book("A1"))
    target = place.folder / "held.csv"
    assert place.report("--output", str(target)) == 0
    new, step = target.read_text(), 0
    seen = set()
    while True:
        target.write_text("old")
        step += 1
        if not killed_at(step, lambda: place.report("--output", str(target))):
            break
        seen.add(target.read_text())
    assert step > 1
    assert "old" in seen <= {"old", new}
    assert beside(target) == {"held.csv": new}


def test_a_reader_of_the_old_report(place: Place) -> None:
    """Whoever reads the old report while a new one takes its place reads the old one to its end."""
    target = place.folder / "held.csv"
    target.write_text("old")
    with target.open() as reader:
        assert place.report("--output", str(target)) == 0
        assert reader.read() == "old"
    assert target.read_text().startswith("barcode,")


def test_outputs_that_are_refused(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder, a pipe or a folder that is not there ends it with code 2; a link stays one; - is standard output."""
    # A pipe of its own stands for all devices: a test must not be able to do harm to the machine's.
    os.mkfifo(place.folder / "pipe")
    for bad in (str(place.folder), str(place.folder / "pipe"), str(place.folder / "none" / "held.csv"), ""):
        assert place.report("--output", bad) == 2, bad
    assert (place.folder / "pipe").is_fifo()
    assert capsys.readouterr().out == ""
    (place.folder / "link.csv").symlink_to("real.csv")
    assert place.report("--output", str(place.folder / "link.csv")) == place.report("--output", "-") == 0
    assert (place.folder / "link.csv").is_symlink()
    assert (place.folder / "real.csv").read_bytes().decode() == capsys.readouterr().out


def test_utf8_whatever_the_terminal_shows(place: Place) -> None:
    """Standard output is UTF-8 in a place of other letters; half a character becomes a question mark."""
    place.tell("A1", [*made("A1", record={"title": "Тихая \ud800"}), put("A1")])
    ended = place.process(environ={"PYTHONIOENCODING": "latin-1"})
    assert (ended.returncode, table(ended.stdout.decode())[0]["title"]) == (0, "Тихая ?")


def test_a_reader_that_leaves(place: Place) -> None:
    """`report | head -1` is no error."""
    for number in range(500):
        place.tell(f"A{number:03}", book(f"A{number:03}"))
    command = [*GRIN_PIPELINE, "report", "--config", str(place.config)]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"barcode,")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 0


# --- records of the store -------------------------------------------------------------------------------------------


@pytest.fixture
def kept(place: Place) -> Place:
    """Four books: the ledger has the record of one, a part of another's; the store has them, one of them damaged."""
    for barcode, record in (("A1", RECORD), ("B2", {"title": "Cut …"}), ("C3", None), ("D4", None)):
        data = json.dumps({"title": f"Whole {barcode}", "isbn": None}).encode()
        (place.done / barcode).mkdir(parents=True)
        (place.done / barcode / f"{barcode}.marc.json").write_bytes(data)
        told = put(barcode)
        told["facts"]["files"][0]["sha256"] = hashlib.sha256(data).hexdigest()
        place.tell(barcode, [*made(barcode, record=record), told])
    (place.done / "D4" / "D4.marc.json").write_text("{}")
    return place


def test_records_from_the_store(kept: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Only what the ledger lacks is read, in order; what is not as it was delivered is told of and left out."""
    assert kept.report("--json") == 0
    before = [told["title"] for told in objects(capsys.readouterr().out)]
    assert kept.report("--json", "--read-store") == 1
    out, err = capsys.readouterr()
    assert before == [RECORD["title"], "Cut …", None, None]
    assert [told["title"] for told in objects(out)] == [RECORD["title"], "Whole B2", "Whole C3", None]
    assert err.splitlines() == [
        "D4: its record cannot be read from the store: D4/D4.marc.json is not what was delivered.",
        "4 books looked at, 4 rows; 1 book with problems.",
    ]


def test_records_in_the_bucket_of_the_book(kept: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """A book that says in which bucket it is, is looked for in that one."""
    kept.done.rename(kept.folder / "other")
    path = kept.ledger.path("C3")
    path.write_text(path.read_text().replace('"files":', f'"done_bucket": "{kept.folder}/other", "files":'))
    assert kept.report("C3", "--json", "--read-store") == 0
    [told] = objects(capsys.readouterr().out)
    assert (told["title"], told["done_bucket"]) == ("Whole C3", f"{kept.folder}/other")


def test_records_that_are_gone(kept: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """A sidecar that is missing is a problem of its book; a store that is missing ends it with code 3."""
    (kept.done / "C3" / "C3.marc.json").unlink()
    assert kept.report("C3", "--read-store") == 1
    assert "C3/C3.marc.json is not there" in capsys.readouterr().err
    kept.done.rename(kept.folder / "unmounted")
    assert kept.report("A1", "--read-store") == 0
    assert kept.report("--read-store", "--output", str(kept.folder / "held.csv")) == 3
    assert "cannot be read" in capsys.readouterr().err
    assert beside(kept.folder / "held.csv") == {}
