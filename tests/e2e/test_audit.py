"""`audit` before a simulated GRIN: newer versions are brought beside the old, what waits for nothing is named."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from services.orchestrator.cli import main
from tests.audits import findings
from tests.e2e.conftest import PASSPHRASE, Grin, Pipeline
from tests.stages.books import BARCODE, book_of, pages, tar_gz


@contextmanager
def grin_with(folder: Path, archive: bytes) -> Iterator[Grin]:
    """A GRIN that has one book, converted now, of this archive."""
    folder.mkdir()
    (folder / "book.tar.gz").write_bytes(archive)
    (folder / "passphrase").write_text(PASSPHRASE + "\n")
    command = [sys.executable, "-m", "simulator", "serve", "--folder", str(folder / "library"), "--books", "0"]
    command += ["--poisoned", "0", "--seed", "1", "--library", "TESTLIB", "--until-stdin-closes"]
    command += ["--passphrase-file", str(folder / "passphrase"), "--credentials-out", str(folder / "credentials.json")]
    command += ["--add", f"{folder / 'book.tar.gz'}:{BARCODE}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield Grin(folder, json.loads(process.stdout.readline()), folder / "credentials.json")
        process.stdin.close()
        process.wait(20)


def write(pipeline: Pipeline, grin: Grin, new_versions: str) -> None:
    """The configuration with this GRIN, and what becomes of new versions."""
    pipeline.grin = grin
    pipeline.write()
    with pipeline.config.open("a") as config:
        config.write(f"seed:\n  new_versions: {new_versions}\n")


def audited(pipeline: Pipeline, *more: str) -> tuple[int, list[tuple[str, str, str]], str]:
    """The exit code of `audit`, its lines (barcode, what, what was done), and all that it said."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = main(["audit", "--config", str(pipeline.config), "--json", *more])
    return code, findings(out.getvalue()), out.getvalue() + err.getvalue()


def happened(pipeline: Pipeline, time: datetime) -> None:
    """The book's story as if all of it had happened then."""
    path = pipeline.root / "ledger" / BARCODE[-3:] / f"{BARCODE}.jsonl"
    events = [{**event, "time": f"{time.isoformat()}Z"} for event in pipeline.events(BARCODE)]
    path.write_text("".join(json.dumps(event) + "\n" for event in events))


def members(path: Path) -> set[str]:
    """The names in a package."""
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as package:
        return set(package.getnames())


@pytest.mark.quirk("new-versions")
def test_grin_has_a_newer_version(tmp_path: Path) -> None:
    """Told by its date, with a day's margin; brought by --fix where the configuration says so, beside the old one."""
    (tmp_path / "board").mkdir()
    done = tmp_path / "board" / "done" / BARCODE
    with grin_with(tmp_path / "one", tar_gz(book_of(pages(range(1, 3))))) as grin:
        pipeline = Pipeline(tmp_path / "board", grin)
        assert pipeline.drain("--barcode", BARCODE) == 0, pipeline.log()
        # The same archive, converted a moment before it was fetched.
        assert audited(pipeline, "--fix")[:2] == (0, [])
    first = {path: path.read_bytes() for path in done.rglob("*")}
    happened(pipeline, datetime.fromisoformat("2012-03-04T05:06"))
    with grin_with(tmp_path / "two", tar_gz(book_of(pages(range(1, 5))))) as grin:
        write(pipeline, grin, "ignore")
        assert audited(pipeline, "--fix")[:2] == (0, [])
        write(pipeline, grin, "report")
        code, found, said = audited(pipeline, "--fix")
        assert (code, found) == (1, [(BARCODE, "changed", "")])
        assert "was fetched on 2012-03-04" in said
        converted = datetime.fromisoformat(re.findall(r"converted it on ([-0-9]+ [0-9:]+)", said)[0])
        happened(pipeline, converted - timedelta(hours=23))
        assert audited(pipeline)[:2] == (0, [])
        happened(pipeline, converted - timedelta(hours=25))
        assert pipeline.places(BARCODE) == ["05_uploaded"]
        write(pipeline, grin, "bring")
        code, found, said = audited(pipeline, "--fix", BARCODE)
        assert (code, [what for _, what, _ in found]) == (0, ["changed"]), said
        assert pipeline.places(BARCODE) == ["00_to_download"]
        assert pipeline.drain("--barcode", BARCODE) == 0, pipeline.log()
        assert audited(pipeline, "--deep")[:2] == (0, [])
    assert {path: path.read_bytes() for path in first} == first
    assert len(members(done / "v2" / f"{BARCODE}.tar.gz")) == len(members(done / f"{BARCODE}.tar.gz")) + 6
    assert json.loads((done / "v2" / "provenance.json").read_bytes())["supersedes"]["book_version"] == 1


def test_a_book_that_grin_does_not_have(pipeline: Pipeline) -> None:
    """What waits to be fetched and is on none of GRIN's lists is named, and is no finding; an offered book is not."""
    offered = min(pipeline.grin.books())
    pipeline.seed(["NOBODY1", offered])
    assert audited(pipeline)[:2] == (0, [("NOBODY1", "lost at GRIN", "")])
    assert audited(pipeline, "--no-grin")[:2] == (0, [])


def test_without_grin_the_rest_goes_on(pipeline: Pipeline) -> None:
    """GRIN cannot be reached: that is said, and what the board lacks is found all the same."""
    pipeline.grin.told["base_url"], kept = "http://127.0.0.1:9/libraries", pipeline.grin.told["base_url"]
    try:
        pipeline.write()
        with pipeline.config.open("a") as config:
            text = pipeline.config.read_text().replace("grin:\n", "grin:\n  tries: 1\n  connect_timeout: 1\n", 1)
            config.truncate(0)
            config.write(text)
        pipeline.seed(["A1"])
        (pipeline.bucket(0) / "A1.json").unlink()
        code, found, said = audited(pipeline)
        assert (code, found) == (1, [("A1", "stuck", "")])
        assert "GRIN could not be asked" in said
    finally:
        pipeline.grin.told["base_url"] = kept
