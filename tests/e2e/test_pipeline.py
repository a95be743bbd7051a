"""The main job: books from a simulated GRIN come home whole, whatever is killed on the way; bad ones say why."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import BUCKETS, PASSPHRASE, STAGES, Grin, Pipeline
from tests.helpers import FULL_STORMS, GRIN_PIPELINE, until

# Which stages are killed in one run; `make storm` kills each three times in a run of its own.
KILLS = [(stage,) * 3 for stage in STAGES] if FULL_STORMS else [STAGES]
REAL = Path(__file__).parents[3] / "shared" / "data" / "real"


def assert_all_home(pipeline: Pipeline) -> None:
    """Exactly the bad books failed, each with a sentence; all others are stored whole, and nothing is left behind."""
    books, bad = pipeline.grin.books(), pipeline.grin.poisoned()
    places = {barcode: [place for place, _ in found] for barcode, found in pipeline.tokens().items()}
    assert set(places) == set(books)
    assert all(len(found) == 1 for found in places.values())
    assert {barcode for barcode, found in places.items() if found != ["05_uploaded"]} == bad
    for barcode in bad:
        assert places[barcode][0].endswith("/failed")
        failed = pipeline.events(barcode)[-1]
        assert failed["event"] == "failed"
        assert failed["reason"].endswith((".", ")"))
    done = pipeline.folder / "done"
    assert {path.name for path in done.iterdir()} == set(books) - bad
    for barcode in set(books) - bad:
        assert_whole(done / barcode, books[barcode])
    until(lambda: {path.name for path in (pipeline.folder / "processing").iterdir()} <= bad)


def assert_whole(folder: Path, record: dict[str, object]) -> None:
    """Every member that the maker recorded is in the package, byte for byte; the provenance tells the truth."""
    barcode = record["barcode"]
    with tarfile.open(folder / f"{barcode}.tar.gz") as package:
        found = {m.name: hashlib.md5(package.extractfile(m).read()).hexdigest() for m in package}  # type: ignore[union-attr]
    assert found == {name: facts["md5"] for name, facts in record["members"].items()}  # type: ignore[attr-defined]
    provenance = json.loads((folder / "provenance.json").read_text())
    assert [step["stage"] for step in provenance["steps"]] == list(STAGES)
    for file in provenance["files"]:
        data = (folder / file["name"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file["size"], file["sha256"])
    assert {path.name for path in folder.iterdir()} == {"provenance.json"} | {f["name"] for f in provenance["files"]}
    assert (folder / f"{barcode}.txt").is_file()


@pytest.fixture(scope="module")
def drained(tmp_path_factory: pytest.TempPathFactory, grin: Grin) -> Pipeline:
    """A board after `up --until-drained`."""
    pipeline = Pipeline(tmp_path_factory.mktemp("drained"), grin)
    assert pipeline.drain(timeout=120) == 1, pipeline.log()
    return pipeline


def test_all_books_home(drained: Pipeline) -> None:
    """`up --until-drained` seeds by itself, ends by itself, and exits 1 because books failed."""
    assert_all_home(drained)
    assert drained.status()["done"] == 7
    said = drained.log()
    for barcode in drained.grin.poisoned():
        assert f"  {barcode}  in " in said
    assert drained.drain() == 1
    assert_all_home(drained)


def kill(pids: list[int]) -> int:
    """SIGKILL; how many were still there."""
    hit = 0
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            hit += 1
        except ProcessLookupError:
            continue
    return hit


def workers_of(pipeline: Pipeline, stage: str) -> list[int]:
    """Process ids of one stage's workers."""
    return [pid for pid in pipeline.workers() if f"\0{stage}\0" in Path(f"/proc/{pid}/cmdline").read_text()]


def at_work(pipeline: Pipeline, stage: str) -> bool:
    """Whether a worker of the stage holds a book now."""
    working = pipeline.bucket(STAGES.index(stage)) / "working"
    return working.is_dir() and any(working.iterdir())


@pytest.mark.parametrize("stages", KILLS, ids=lambda stages: " ".join(dict.fromkeys(stages)))
def test_kill_stages(pipeline: Pipeline, stages: tuple[str, ...]) -> None:
    """kill -9 of stages in the middle of their work, then everything at once: run again, the same end."""
    up = pipeline.up("--until-drained")
    for stage in stages:
        until(lambda at=stage: at_work(pipeline, at) or up.poll() is not None, 60)  # type: ignore[misc]
        kill(workers_of(pipeline, stage))
        time.sleep(0.05)
    kill([up.pid, *pipeline.workers()])
    up.wait()
    assert pipeline.drain(timeout=120) == 1, pipeline.log()
    assert_all_home(pipeline)


def test_kill_the_orchestrator_and_everything(pipeline: Pipeline) -> None:
    """kill -9 of the orchestrator alone, then of all processes at once, each in the middle: run again, the same end."""
    up = pipeline.up("--until-drained")
    until(lambda: at_work(pipeline, "downloader"), 60)
    kill([up.pid])
    up.wait()
    up = pipeline.up("--until-drained")
    until(lambda: at_work(pipeline, "extractor") or at_work(pipeline, "modifier") or up.poll() is not None, 60)
    kill([up.pid, *pipeline.workers()])
    up.wait()
    assert pipeline.drain(timeout=120) == 1, pipeline.log()
    assert_all_home(pipeline)


def secrets_seen(pipeline: Pipeline, pids: list[int]) -> list[str]:
    """Where the passphrase can be read: in arguments and environments of processes, and in any file of the board."""
    found = []
    for pid in pids:
        for name in ("cmdline", "environ"):
            try:
                if PASSPHRASE.encode() in Path(f"/proc/{pid}/{name}").read_bytes():
                    found.append(f"/proc/{pid}/{name}")
            except OSError:
                continue
    for path in pipeline.root.rglob("*"):
        try:
            if path.is_file() and PASSPHRASE.encode() in path.read_bytes():
                found.append(str(path))
        except OSError:
            continue
    return found


def family(pid: int) -> list[int]:
    """A process's children and theirs."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children") if Path(f"/proc/{pid}").exists() else ():
        try:
            children = [int(child) for child in task.read_text().split()]
        except OSError:
            continue
        found += children + [grandchild for child in children for grandchild in family(child)]
    return found


@pytest.mark.parametrize("way", ["file", "environment"])
def test_the_passphrase_is_nowhere(pipeline: Pipeline, way: str) -> None:
    """While books are decrypted, no argument, no environment, no log and no file of the board holds it."""
    if way == "environment":
        del pipeline.common["gpg_passphrase_file"]
        pipeline.write()
        pipeline.environ["GRIN_PIPELINE_GLOBAL__GPG_PASSPHRASE"] = PASSPHRASE
    up = pipeline.up("--until-drained")
    seen: set[str] = set()
    names: set[str] = set()
    while up.poll() is None:
        children = [up.pid, *family(up.pid)]
        if way == "environment" and not (pipeline.root / "workers").exists():
            continue  # the process that the secret was given to has not started itself again yet
        for pid in children:
            try:
                names.add(Path(f"/proc/{pid}/comm").read_text().strip())
            except OSError:
                continue
        seen |= set(secrets_seen(pipeline, children))
        time.sleep(0.02)
    assert seen == set()
    assert "gpg" in names
    assert PASSPHRASE not in pipeline.log()
    assert_all_home(pipeline)


def test_wrong_passphrase(pipeline: Pipeline) -> None:
    """A wrong passphrase stops the decryptor with one sentence and burns no attempt; with the right one it goes on."""
    (pipeline.folder / "passphrase").write_text("wrong\n")
    up = pipeline.up("--until-drained")
    sentence = "The passphrase does not open this library's archives."
    until(lambda: sentence in pipeline.log(), 60)
    time.sleep(2)
    halted = next(stage for stage in pipeline.status()["stages"] if stage["name"] == "decryptor")
    assert halted["halted"] == sentence
    assert list((pipeline.bucket(1) / "failed").iterdir()) == []
    (pipeline.folder / "passphrase").write_text(PASSPHRASE + "\n")
    assert up.wait(90) == 1
    assert pipeline.log().count(sentence) == 1
    assert_all_home(pipeline)
    for barcode in set(pipeline.grin.books()) - pipeline.grin.poisoned():
        done = [e for e in pipeline.events(barcode) if e["event"] == "done" and e["stage"] == "decryptor"]
        assert [event["attempt"] for event in done] == [1]


def test_metrics_and_health_while_it_runs(pipeline: Pipeline) -> None:
    """Each stage and the orchestrator serve metrics and health on the ports that status shows."""
    import httpx

    (pipeline.folder / "passphrase").write_text("wrong\n")
    up = pipeline.up()
    until(lambda: "decryptor has halted" in pipeline.log(), 60)
    status = pipeline.status()
    ports = {stage["name"]: stage["workers"][0]["port"] for stage in status["stages"]}
    assert len(set(ports.values())) == 5
    texts = {name: httpx.get(f"http://127.0.0.1:{port}/metrics").text for name, port in ports.items()}
    assert 'grin_stage_tokens_total{outcome="done",stage="downloader"} 10.0' in texts["downloader"]
    assert 'grin_stage_paused{reason="halt",stage="decryptor"} 1.0' in texts["decryptor"]
    assert "grin_requests_total" in texts["downloader"]
    assert httpx.get(f"http://127.0.0.1:{ports['extractor']}/healthz").status_code == 200
    assert httpx.get(f"http://127.0.0.1:{ports['extractor']}/readyz").status_code == 200
    assert httpx.get(f"http://127.0.0.1:{ports['decryptor']}/readyz").status_code == 503
    board = httpx.get(status["orchestrators"][0]["metrics"]).text
    assert 'grin_bucket_tokens{bucket="00_to_download",state="waiting"} 0.0' in board
    assert 'grin_workers{stage="modifier"} 1.0' in board
    page = httpx.get(status["orchestrators"][0]["metrics"].removesuffix("metrics"))
    assert page.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "01_incoming" in page.text
    assert status["stages"][1]["halted"] in " ".join(page.text.split())
    up.send_signal(signal.SIGTERM)
    assert up.wait(40) == 0


def test_sample_and_named_books(pipeline: Pipeline) -> None:
    """--sample brings N books, the same N when run again; --barcode brings the one that is named."""
    good = sorted(set(pipeline.grin.books()) - pipeline.grin.poisoned())
    pipeline.drain("--sample", "2", timeout=120)
    first = set(pipeline.tokens())
    assert len(first) == 2
    pipeline.drain("--sample", "2", timeout=120)
    assert set(pipeline.tokens()) == first
    other = next(barcode for barcode in good if barcode not in first)
    pipeline.drain("--barcode", other, timeout=120)
    assert set(pipeline.tokens()) == first | {other}
    assert pipeline.places(other) == ["05_uploaded"]


def test_reading_commands(drained: Pipeline) -> None:
    """ls, show and status speak JSON, and words; the story of a failed book says why and what was tried."""
    rows = [json.loads(line) for line in drained.ask("ls", "--json").stdout.splitlines()]
    assert {row["barcode"] for row in rows} == drained.grin.poisoned()
    assert all(row["state"] == "failed" and row["reason"] for row in rows)
    assert len(drained.ask("ls", "05_uploaded").stdout.splitlines()) == 7
    story = json.loads(drained.ask("show", rows[0]["barcode"], "--json").stdout)
    assert story["places"][0]["state"] == "failed"
    assert story["events"][0]["event"] == "registered"
    assert rows[0]["reason"] in drained.ask("show", rows[0]["barcode"]).stdout
    assert [bucket["name"] for bucket in drained.status()["buckets"]] == list(BUCKETS)
    assert drained.ask("show", "NOBODY").returncode == 1


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the three real pages are not at {REAL}")
def test_three_real_pages(tmp_path: Path, grin: Grin) -> None:
    """Three pages of a real Google book, encrypted, go through as a book of their own and come out byte for byte."""
    archive = next(REAL.glob("*.tar.gz"))
    barcode = archive.name.partition("_")[0]
    command = [sys.executable, "-m", "simulator", "serve", "--folder", str(tmp_path / "library"), "--books", "0"]
    command += ["--poisoned", "0", "--seed", "1", "--library", "HARVARD", "--add", f"{archive}:{barcode}"]
    command += ["--passphrase-file", str(grin.folder / "passphrase"), "--credentials-out", str(tmp_path / "real.json")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        pipeline = Pipeline(tmp_path, Grin(tmp_path, told, tmp_path / "real.json"))
        pipeline.common["library"] = "HARVARD"
        pipeline.write()
        code = pipeline.drain("--barcode", barcode)
        process.terminate()
    assert code == 0, pipeline.log()
    with tarfile.open(archive) as sent, tarfile.open(tmp_path / "done" / barcode / f"{barcode}.tar.gz") as stored:
        expected = {m.name: sent.extractfile(m).read() for m in sent}  # type: ignore[union-attr]
        assert {m.name: stored.extractfile(m).read() for m in stored} == expected  # type: ignore[union-attr]


def test_demo(tmp_path: Path) -> None:
    """`grin-pipeline demo` does everything in one folder, says why the bad ones failed, and exits 0."""
    command = [*GRIN_PIPELINE, "demo", "--folder", str(tmp_path / "demo"), "--books", "5", "--poisoned", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Exactly the bad books failed, all others are home." in done.stdout
    assert done.stdout.count("What to do:") == 3
    assert {path.name for path in tmp_path.iterdir()} == {"demo"}


def test_demo_leaves_other_folders_alone(tmp_path: Path) -> None:
    """A folder that no demo made is not emptied."""
    (tmp_path / "mine").write_text("precious")
    command = [*GRIN_PIPELINE, "demo", "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert (tmp_path / "mine").read_text() == "precious"
