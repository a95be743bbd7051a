"""What a worker does with a book: verdicts, deaths, time limits, halts, signals, limits; all with real processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.helpers import Line, stop, until

STAGES = """
from pathlib import Path
from common.stage import Stage, Retry, Redo, Reject, Halt

class Hop(Stage):
    def process(self, book, work):
        (work / "note.txt").write_text(book.barcode)
        return {"bytes_out": 7}

class Says(Stage):
    def process(self, book, work):
        error = {"RETRY": Retry, "REDO": Redo, "REJECT": Reject}.get(book.barcode)
        if error:
            raise error("The page is torn.", "Glue it.")
        if book.barcode == "CRASH":
            os._exit(11)
        if book.barcode == "BUG":
            {}["missing"]
        if book.barcode == "EXIT":
            raise SystemExit(3)
        return {"bytes_in": "many", "bytes_out": None, 5: {1, 2}} if book.barcode == "ODD" else "odd"

class Slow(Stage):
    def process(self, book, work):
        while not Path(self.options["until"]).exists():
            time.sleep(0.02)

class Sleeps(Stage):
    def process(self, book, work):
        os.system("sleep 60")

class Odd(Stage):
    def process(self, book, work):
        if book.barcode == "FIFO":
            os.mkfifo(work / "pipe")
        if book.barcode == "LINK":
            (work / "link").symlink_to("/etc/passwd")
        if book.barcode == "READS":
            import subprocess
            subprocess.run(["cat"], check=True)
        if book.barcode == "POOL":
            import multiprocessing
            with multiprocessing.get_context("fork").Pool(2) as pool:
                pool.map(abs, [1, 2])
        if book.barcode == "LATER":
            raise Retry("Later.", delay=1e300)
        if book.barcode == "BASE":
            raise GeneratorExit

class Broken(Stage):
    def opened(self):
        raise RuntimeError("no engine")

class Copies(Stage):
    def process(self, book, work):
        (work / "copy").write_text(Path(self.options["original"]).read_text())

class Checks(Stage):
    def process(self, book, work):
        if book.input_file("copy").read_text() != "good":
            raise Redo("The copy is bad.", "Mend the original.")

class Locked(Stage):
    def process(self, book, work):
        if not Path(self.options["key"]).exists():
            raise Halt("The door is locked.", "Put the key there.")
"""


def make(folder: Path, **common: object) -> Line:
    """A line without stages yet."""
    return Line(folder, STAGES, **common)


def quick(**row: object) -> dict[str, object]:
    """Row keys for failures that come back fast."""
    return {"attempts": 2, "backoff": 0.05, "backoff_max": 0.1, **row}


def test_verdicts(tmp_path: Path) -> None:
    """Retry is deferred and counted, Redo goes back once, Reject fails at once, a bug is a Retry; the rest flow."""
    line = make(tmp_path).stage("first", "Hop", 0).stage("says", "Says", 1, **quick())
    line.seed(["RETRY", "REDO", "REJECT", "BUG", "EXIT", "GOOD", "ODD"])
    assert line.drain() == 1
    assert line.places("GOOD") == line.places("ODD") == ["02_b"]
    for barcode in ("RETRY", "REDO", "REJECT", "BUG", "EXIT"):
        assert line.places(barcode) == ["01_b/failed"]
    says = [event["event"] for event in line.events("RETRY") if event.get("stage") == "says"]
    assert says == ["attempt", "deferred", "attempt", "failed"]
    redo = [(event["event"], event.get("stage")) for event in line.events("REDO")]
    assert redo.count(("redo", "says")) == 1
    assert redo.count(("done", "first")) == 2
    assert [event["event"] for event in line.events("REJECT")][-2:] == ["attempt", "failed"]
    failed = line.events("REJECT")[-1]
    assert (failed["reason"], failed["cure"]) == ("The page is torn.", "Glue it.")
    assert "KeyError" in line.events("BUG")[-1]["reason"]
    assert "died" not in line.events("EXIT")[-1]["reason"]


def test_a_failed_book_that_is_put_back(tmp_path: Path) -> None:
    """A damaged book that failed is made again once a person has put its token back; its counts start anew."""
    original = tmp_path / "original"
    original.write_text("bad")
    line = make(tmp_path).stage("copies", "Copies", 0, options={"original": str(original)})
    line.stage("checks", "Checks", 1)
    line.seed(["A1"])
    assert line.drain() == 1
    assert line.kinds("A1").count("redo") == 1
    original.write_text("good")
    (line.bucket(1) / "failed" / "A1.json").rename(line.bucket(1) / "A1.json")
    assert line.drain() == 0
    assert line.places("A1") == ["02_b"]


def test_a_book_that_kills_its_worker(tmp_path: Path) -> None:
    """A book that crashes the process is counted, fails after its attempts, and the others flow."""
    line = make(tmp_path).stage("says", "Says", 0, **quick())
    line.seed(["CRASH", "GOOD"])
    assert line.drain() == 1
    assert line.places("CRASH") == ["00_b/failed"]
    assert line.places("GOOD") == ["01_b"]
    assert line.kinds("CRASH").count("attempt") == 2
    assert "died 2 times" in line.events("CRASH")[-1]["reason"]


def test_time_limit(tmp_path: Path) -> None:
    """A book that never ends is stopped with all that it started, counted, and fails with the limit in the reason."""
    line = make(tmp_path).stage("sleeps", "Sleeps", 0, **quick(time_limit=0.5))
    line.seed(["ENDLESS"])
    assert line.drain() == 1
    assert line.kinds("ENDLESS").count("attempt") == 2
    assert "time limit of 0.5 seconds" in line.events("ENDLESS")[-1]["reason"]


def test_live_work_is_never_reaped(tmp_path: Path) -> None:
    """A job that takes many times reap_after stays with its worker."""
    line = make(tmp_path, heartbeat=0.1, reap_after=0.4).stage("slow", "Slow", 0, options={"until": f"{tmp_path}/go"})
    line.seed(["A1"])
    up = line.up("--until-drained")
    until(lambda: line.places("A1") == ["00_b/working"])
    time.sleep(2.5)
    (tmp_path / "go").touch()
    assert up.wait(20) == 0
    assert line.kinds("A1").count("attempt") == 1


def test_claims_of_a_dead_worker_come_back(tmp_path: Path) -> None:
    """Without a supervisor, another worker of the stage brings back what a killed one held."""
    line = make(tmp_path, reap_after=1.0).stage("slow", "Slow", 0, options={"until": f"{tmp_path}/go"})
    line.seed(["A1"])
    first = line.stage_process("slow")
    until(lambda: line.places("A1") == ["00_b/working"])
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    (tmp_path / "go").touch()
    second = line.stage_process("slow")
    until(lambda: line.places("A1") == ["01_b"], 6)
    assert stop(second) == 0
    assert line.kinds("A1").count("attempt") == 2


def test_a_paused_worker_is_fenced(tmp_path: Path) -> None:
    """A worker that sleeps through its reaping wakes up, finds its claim gone and lets go: nothing happens twice."""
    line = make(tmp_path, reap_after=0.9).stage("slow", "Slow", 0, options={"until": f"{tmp_path}/go"})
    line.seed(["A1"])
    late = line.stage_process("slow")
    until(lambda: line.places("A1") == ["00_b/working"])
    os.kill(late.pid, signal.SIGSTOP)
    inode = line.tokens()["A1"][0][1]
    (tmp_path / "go").touch()
    second = line.stage_process("slow")
    until(lambda: line.places("A1") == ["01_b"], 8)
    os.kill(late.pid, signal.SIGCONT)
    until(lambda: "was taken back" in line.log("stage.log"))
    assert (stop(late), stop(second)) == (0, 0)
    assert line.tokens()["A1"] == [("01_b", inode)]


def test_halt_burns_nothing_and_recovers(tmp_path: Path) -> None:
    """A halted stage says why once, counts no attempt, shows it in status, and goes on when the cause is gone."""
    line = make(tmp_path).stage("locked", "Locked", 0, options={"key": f"{tmp_path}/key"}, attempts=1)
    line.seed(["A1", "A2"])
    up = line.up("--until-drained")
    until(lambda: "locked has halted: The door is locked. Put the key there." in line.log())
    assert line.status()["stages"][0]["halted"] == "The door is locked."
    time.sleep(1.5)
    (tmp_path / "key").touch()
    assert up.wait(20) == 0
    assert line.log().count("The door is locked.") == 1
    assert line.kinds("A1").count("failed") == 0


def test_a_halt_that_stays_ends_the_run(tmp_path: Path) -> None:
    """With --until-drained, a run in which nothing can move any more ends with code 3; the books wait."""
    line = make(tmp_path).stage("locked", "Locked", 0, options={"key": f"{tmp_path}/key"})
    line.seed(["A1"])
    assert line.drain("--patience", "1") == 3
    assert line.places("A1") == ["00_b"]


def test_sigterm_finishes_the_book_in_hand(tmp_path: Path) -> None:
    """SIGTERM drains: the book in hand is finished, no other is begun, exit 0."""
    line = make(tmp_path).stage("slow", "Slow", 0, options={"until": f"{tmp_path}/go"})
    line.seed(["A1", "A2"])
    up = line.up()
    until(lambda: sum("working" in place for place in (*line.places("A1"), *line.places("A2"))) == 1)
    up.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    (tmp_path / "go").touch()
    assert up.wait(20) == 0
    assert sorted(line.places("A1") + line.places("A2")) == ["00_b", "01_b"]


def test_sigterm_hands_back_after_the_grace(tmp_path: Path) -> None:
    """A book that cannot be finished in time is handed back, waits again at once, and has no attempt against it."""
    line = make(tmp_path, grace=0.5, reap_after=60).stage("slow", "Slow", 0, options={"until": f"{tmp_path}/go"})
    line.seed(["A1"])
    process = line.stage_process("slow")
    until(lambda: line.places("A1") == ["00_b/working"])
    assert stop(process) == 0
    assert line.places("A1") == ["00_b"]
    assert line.kinds("A1")[-2:] == ["attempt", "handed_back"]


def test_workers_end_with_their_orchestrator(tmp_path: Path) -> None:
    """When the orchestrator is killed its workers drain by themselves; none is left over."""
    line = make(tmp_path).stage("hop", "Hop", 0, workers=2)
    up = line.up()
    until(lambda: len(line.workers()) == 2)
    os.kill(up.pid, signal.SIGKILL)
    up.wait()
    until(lambda: line.workers() == [])


def test_wip_limit(tmp_path: Path) -> None:
    """A stage claims nothing while its output bucket is full, and goes on when there is room."""
    line = make(tmp_path).stage("hop", "Hop", 0, wip_limit=3)
    line.stage("slow", "Slow", 1, options={"until": f"{tmp_path}/go"})
    line.seed([f"A{number}" for number in range(10)])
    up = line.up("--until-drained")
    until(lambda: sum("01_b" in place for b in line.tokens() for place in line.places(b)) == 3)
    time.sleep(1)
    assert sum("01_b" in place for b in line.tokens() for place in line.places(b)) == 3
    (tmp_path / "go").touch()
    assert up.wait(20) == 0


def test_a_pause_is_a_file(tmp_path: Path) -> None:
    """While paused/<stage> exists the stage claims nothing."""
    line = make(tmp_path).stage("hop", "Hop", 0)
    line.seed(["A1"])
    (line.root / "paused" / "hop").touch()
    up = line.up("--until-drained")
    until(lambda: len(line.workers()) == 1)
    time.sleep(1)
    assert line.places("A1") == ["00_b"]
    assert line.status()["stages"][0]["paused"] is True
    (line.root / "paused" / "hop").unlink()
    assert up.wait(20) == 0


def test_strangers(tmp_path: Path) -> None:
    """What is no token is set aside with a reason or left alone; the stage lives and the others flow."""
    line = make(tmp_path).stage("hop", "Hop", 0)
    line.seed(["GOOD"])
    bucket = line.bucket(0)
    (bucket / "TORN.json").write_text('{"barc')
    (bucket / "HUGE.json").write_text('{"barcode": "HUGE", "x": "' + "y" * 10_000_000 + '"}')
    (bucket / "OTHER.json").write_text('{"barcode": "ELSE"}')
    (bucket / "LINK.json").symlink_to("/etc/passwd")
    os.mkfifo(bucket / "FIFO.json")
    (bucket / "FOLDER.json").mkdir()
    (bucket / "README").write_text("hello")
    (bucket / "NEWER.json").write_text('{"barcode": "NEWER", "version": 9}')
    process = line.stage_process("hop")
    bad = ["TORN", "HUGE", "OTHER", "LINK", "FIFO", "FOLDER"]
    until(lambda: all(os.path.lexists(bucket / "failed" / f"{name}.json") for name in bad), 15)
    until(lambda: line.places("GOOD") == ["01_b"])
    assert stop(process) == 0
    assert all(line.events(name)[-1]["reason"] for name in bad)
    assert line.places("NEWER") == ["00_b"]
    assert (bucket / "README").read_text() == "hello"


def test_files_are_carried_on(tmp_path: Path) -> None:
    """A stage that adds a file passes on those it got; the next stage finds all in one folder."""
    line = Line(
        tmp_path,
        """
        from common.stage import Stage
        class One(Stage):
            def process(self, book, work):
                (work / "one.txt").write_text("1")
        class Two(Stage):
            def process(self, book, work):
                (work / "two.txt").write_text((book.input / "one.txt").read_text() + "2")
        """,
    )
    line.stage("one", "One", 0).stage("two", "Two", 1)
    line.seed(["A1"])
    assert line.drain() == 0
    book = tmp_path / "processing" / "A1"
    assert {path.name: path.read_text() for path in (book / "two").iterdir()} == {"one.txt": "1", "two.txt": "12"}
    assert not (book / "one").exists()


def test_odd_things_a_stage_may_leave_or_do(tmp_path: Path) -> None:
    """FIFOs and links are refused; children that read or fork and absurd delays do no harm."""
    line = make(tmp_path).stage("odd", "Odd", 0, attempts=1)
    line.seed(["FIFO", "LINK", "READS", "POOL", "LATER", "BASE", "GOOD"])
    up = line.up("--until-drained")
    good = ("READS", "POOL", "GOOD")
    until(lambda: all(line.places(barcode) == ["01_b"] for barcode in good), 30)
    until(lambda: line.places("LATER") == ["00_b/failed"])
    until(lambda: all(line.places(barcode) == ["00_b/failed"] for barcode in ("FIFO", "LINK", "BASE")))
    assert "neither a file nor a folder" in line.events("FIFO")[-1]["reason"]
    assert up.wait(20) == 1


def test_min_free_stops_only_where_books_enter(tmp_path: Path) -> None:
    """Below min_free no new book enters the line, and those in it go on, because the last stage frees the space."""
    line = make(tmp_path, min_free="1000TB").stage("hop", "Hop", 0).stage("last", "Hop", 1)
    line.seed(["A1"])
    line.seed(["A2"], "--at", "01_b")
    assert line.drain("--patience", "1.5") == 3
    assert (line.places("A1"), line.places("A2")) == (["00_b"], ["02_b"])
    assert "hop waits, because the disk has less than min_free" in line.log()


def test_a_full_bucket_behind_a_halt_ends_the_run_too(tmp_path: Path) -> None:
    """A stage that waits for room behind a halted one is told as what it is, and the run ends with code 3."""
    line = make(tmp_path).stage("hop", "Hop", 0, wip_limit=1)
    line.stage("locked", "Locked", 1, options={"key": f"{tmp_path}/key"})
    line.seed(["A1", "A2", "A3"])
    assert line.drain("--patience", "2") == 3
    assert "locked has halted. The door is locked." in line.log()
    assert "hop waits, because 01_b holds wip_limit, 1 books" in line.log()


def test_a_stage_that_cannot_open_ends_the_run(tmp_path: Path) -> None:
    """A stage whose worker dies at every start takes no book: the run says so and ends."""
    line = make(tmp_path).stage("broken", "Broken", 0)
    line.seed(["A1"])
    assert line.drain("--patience", "3") == 3
    assert "no engine" in line.log()
    assert "takes none of them" in line.log()
    assert line.places("A1") == ["00_b"]


def test_a_stall_of_the_whole_machine(tmp_path: Path) -> None:
    """When everything stands still for longer than reap_after and goes on, nobody is taken for dead."""
    line = make(tmp_path, heartbeat=0.1, reap_after=0.9).stage("slow", "Slow", 0, options={"until": f"{tmp_path}/go"})
    line.seed(["A1"])
    up = line.up("--until-drained")
    until(lambda: line.places("A1") == ["00_b/working"])
    pids = [up.pid, *line.workers()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(2)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.3)
    (tmp_path / "go").touch()
    assert up.wait(20) == 0
    assert "returned" not in line.kinds("A1")


def test_what_a_killed_worker_had_started_ends_too(tmp_path: Path) -> None:
    """A worker's children do not outlive it."""
    line = make(tmp_path).stage("sleeps", "Sleeps", 0)
    line.seed(["A1"])
    up = line.up()
    until(lambda: line.places("A1") == ["00_b/working"])
    worker = line.workers()[0]
    until(lambda: any(_children(worker)))
    (child,) = _children(worker)
    os.kill(worker, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{child}").exists() or " Z " in Path(f"/proc/{child}/stat").read_text())
    up.kill()
    up.wait()
    for pid in line.workers():
        os.killpg(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    """The process ids of a process's children."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]
