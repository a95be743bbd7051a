"""`doctor` on real file systems: ones that lie, that are full, read-only, mounted piecemeal, and a board at work."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from common import board, config
from common.config import Settings
from common.heartbeat import Heartbeat
from services.orchestrator import doctor, probes
from services.orchestrator.findings import MUST, OK, WARNING, Finding
from services.orchestrator.probe_site import Site, opened
from tests.board.lying.crew import fork
from tests.board.lying.lies import NONE, Lies
from tests.board.lying.mount import Mount, new_place
from tests.helpers import Line, until

ROOT = Path(__file__).parents[2]
CLAIMS = 100
# The doctor as a process of its own, with fewer claims; what it finds goes to standard output.
DOCTOR = """
import sys
from pathlib import Path
from common import config
from services.orchestrator import doctor, probes, render
doctor.CLAIMS = int(sys.argv[2])
sys.exit(doctor.run(config.load(Path(sys.argv[1])), render.PipeConsole(width=200, highlight=False), True))
"""


def settings_at(folder: Path, **common: object) -> Settings:
    """A configuration of one stage that needs nothing to start, and its board."""
    pipes = {"input_pipe": "pipeline/00_in", "output_pipe": "pipeline/01_out"}
    shared = {"temp_dir": str(folder / "temp"), "heartbeat": 0.5, "reap_after": 2.0, **common}
    rows = [{"name": "extractor", "class": "Extractor", **pipes}]
    (folder / "config.yaml").write_text(yaml.safe_dump({"global": shared, "filters": rows}))
    settings = config.load(folder / "config.yaml")
    board.prepare(settings.global_.pipeline_dir, settings.bucket_paths())
    return settings


def tree(folder: Path) -> list[str]:
    """All names below a folder but those that a network's client makes up."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.name.startswith(".nfs"))


# --- on a file system that lies ---


@pytest.fixture(scope="module")
def lying() -> Iterator[Mount]:
    """One lying mount for all tests of this file; each sets its lies."""
    with new_place() as place, Mount(place / "m", place / "below", subtype="s3fs") as mount:
        settings_at(mount.point)
        yield mount


@pytest.fixture
def liar(lying: Mount) -> Iterator[Mount]:
    """That mount, honest again after each test, on which nothing may stay."""
    before = tree(lying.below)
    yield lying
    lying.set(NONE)
    until(lambda: tree(lying.below) == before)


def looked(mount: Mount, lies: Lies, name: str, **common: object) -> list[Finding]:
    """What one probe finds while these lies are told."""
    settings = config.load(mount.point / "config.yaml")
    settings = settings.model_copy(update={"global_": settings.global_.model_copy(update=common)})
    look = (lambda site: probes.claims(site, CLAIMS)) if name == "claims" else getattr(probes, name)
    with opened(settings) as site:
        mount.set(lies)
        found = list(doctor._guarded(name, look, site))
        mount.set(NONE)
    return found


@pytest.mark.parametrize(
    ("probe", "lies", "name", "level", "word"),
    [
        ("renames", Lies(copies=True), "renames", MUST, "changed the inode number"),
        ("renames", Lies(rate=1.0), "renames", OK, "one inode"),
        ("claims", Lies(copies=True, late=0.05), "claims", MUST, "by both"),
        ("claims", Lies(rate=0.05), "claims", OK, "none twice"),
        ("links", Lies(no_links=True), "links", MUST, "not supported"),
        ("links", Lies(shared_create=True), "exclusive create", MUST, "succeeds twice"),
        ("syncs", Lies(no_fsync=True), "syncs", MUST, "Invalid argument"),
        ("syncs", Lies(slow_fsync=0.08), "fsync", WARNING, "durable after"),
        ("times", Lies(frozen_times=True), "times", MUST, "s off"),
        ("times", Lies(time_step=2), "times", MUST, "reads 1 s off"),
        ("times", Lies(clock=1000.0), "clock", WARNING, "s ahead of"),
        ("times", Lies(clock=-1000.0), "clock", WARNING, "s behind"),
        ("names", Lies(fold_case=True), "letter case", MUST, "the same name"),
        ("names", Lies(longest=150), "long names", MUST, "File name too long"),
        ("names", Lies(refused="$"), "long names", MUST, "Invalid argument"),
        ("space", Lies(free_files=500), "inodes", MUST, "500 inodes"),
        ("space", Lies(free_files=50_000), "inodes", WARNING, "50,000 inodes"),
    ],
)
def test_what_a_file_system_does_wrong(liar: Mount, probe: str, lies: Lies, name: str, level: str, word: str) -> None:
    """Each way in which a file system can fail the board is found, by its name, with its figure and a cure."""
    found = {one.name: one for one in looked(liar, lies, probe)}
    assert found[name].level == level, found
    assert word in found[name].sentence
    assert bool(found[name].cure) == (level != OK)
    assert [one.level for one in looked(liar, NONE, probe) if one.name == name] in ([OK], [])


def test_a_slow_sight_is_measured(liar: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long another process does not see a new name is measured: at least half of a listing's age."""
    monkeypatch.setattr(probes, "_SLOW_SIGHT", 0.4)
    found = {one.name: one for one in looked(liar, Lies(listing_age=1.0, strangers=True), "sight")}
    assert found["new names"].level == WARNING
    seconds = float(found["new names"].sentence.rpartition("listing after ")[2].removesuffix(" s."))
    assert 0.4 < seconds < 4
    assert found["heartbeats"].level == OK


def test_a_name_that_is_never_seen(liar: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that another process does not see in the time it is given is a must."""
    monkeypatch.setattr(probes, "PATIENCE", 0.5)
    found = {one.name: one for one in looked(liar, Lies(negative_age=3600.0, strangers=True), "sight", reap_after=1.0)}
    assert found["new names"].level == MUST
    assert "a new name after more than 2 s" in found["new names"].sentence


def test_heartbeats_that_are_not_seen(liar: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat that is seen later than a worker may be silent is a must: live work would be reaped."""
    monkeypatch.setattr(probes, "PATIENCE", 0.5)
    found = {one.name: one for one in looked(liar, Lies(attribute_age=3600.0, strangers=True), "sight", reap_after=1.0)}
    assert found["heartbeats"].level == MUST
    assert "reap_after is 1 s" in found["heartbeats"].sentence


def beat(elsewhere: Heartbeat) -> None:
    """Be a worker that lives."""
    while True:
        elsewhere.beat()
        time.sleep(0.2)


@pytest.mark.parametrize(("age", "level"), [(0.0, OK), (1.9, WARNING), (3600.0, MUST)])
def test_heartbeats_of_other_machines(liar: Mount, age: float, level: str) -> None:
    """For how long workers elsewhere seem to be silent is measured on the board at work."""
    with Mount(liar.point.with_name("other"), liar.below) as other:
        elsewhere = Heartbeat(other.point / "pipeline" / "workers", "stage-elsewhere-1-abcdef01", stage="stage")
        elsewhere.facts["host"] = "elsewhere"
        elsewhere.announce()
        child = fork(lambda: beat(elsewhere), other.log)
        try:
            found = {one.name: one for one in looked(liar, Lies(attribute_age=age), "machines", reap_after=3.0)}
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            elsewhere.leave()
    assert found["other machines"].level == level, found
    assert "on other machines (1)" in found["other machines"].sentence


def test_a_mounted_object_store(liar: Mount) -> None:
    """The whole doctor, on a mount of type fuse.s3fs: refused by its name, though all its probes are well."""
    settings = config.load(liar.point / "config.yaml")
    found = list(doctor.examine(settings, CLAIMS))
    bad = [one for one in found if one.level == MUST]
    assert [one.name for one in bad] == ["file system"]
    assert "fuse.s3fs" in bad[0].sentence
    assert "object store" in bad[0].sentence


def test_the_whole_doctor_under_lies(liar: Mount) -> None:
    """Renames reported wrongly now and then, and silly names, are what the board is built for."""
    settings = config.load(liar.point / "config.yaml")
    liar.set(Lies(rate=0.02, errors=("ENOENT", "EIO"), silly=0.05))
    musts = [one for one in doctor.examine(settings, CLAIMS) if one.level == MUST and one.name != "file system"]
    liar.set(NONE)
    assert [one for one in musts if "by both" in one.sentence or "inode" in one.sentence] == []


# --- in a mount namespace of its own ---


def require_namespace() -> None:
    """Skip loudly where no private mount namespace can be had; fail there when REQUIRE_ENGINE is set."""
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode == 0:
        return
    if os.environ.get("REQUIRE_ENGINE"):
        pytest.fail("REQUIRE_ENGINE is set, but no private mount namespace can be had.")
    pytest.skip("NO PRIVATE MOUNT NAMESPACE CAN BE HAD (that needs root): the doctor's mounts were not tried.")


def examined(settings: Settings, *mounts: str, code: int = 3) -> dict[str, dict[str, str]]:
    """The worst finding of each name, after these shell commands in a mount namespace that ends with the doctor."""
    require_namespace()
    last = shlex.join([sys.executable, "-c", DOCTOR, str(settings.path), str(CLAIMS)])
    script = " && ".join(["set -e", *mounts, f"exec {last}"])
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    facts, worst = json.loads(done.stdout), {}
    assert facts["ok"] == (code == 0)
    for one in facts["findings"]:
        order = [OK, WARNING, MUST].index
        if order(one["level"]) >= order(worst.get(one["name"], {"level": OK})["level"]):
            worst[one["name"]] = one
    return worst


def musts(found: dict[str, dict[str, str]]) -> set[str]:
    """The names of what must not be."""
    return {name for name, one in found.items() if one["level"] == MUST}


def test_a_bucket_on_a_mount_of_its_own(tmp_path: Path) -> None:
    """A bucket on another file system is a must: the mount is named, and the rename that fails too."""
    settings = settings_at(tmp_path)
    bucket = settings.bucket_paths()[1] / "failed"
    found = examined(settings, f"mount -t tmpfs none {bucket}")
    assert musts(found) == {"one mount", "renames"}
    assert f"{bucket} is a mount of its own (tmpfs at {bucket})" in found["one mount"]["sentence"]
    assert "cross-device" in found["renames"]["sentence"]


def test_a_bucket_by_a_sub_path(tmp_path: Path) -> None:
    """The same disk mounted a second time, for one bucket, is found too, though its device number is the same."""
    settings = settings_at(tmp_path)
    bucket = settings.bucket_paths()[1]
    found = examined(settings, f"mount --bind {bucket} {bucket}")
    assert musts(found) == {"one mount", "renames"}
    assert "no rename crosses mounts" in found["one mount"]["cure"]


def test_a_read_only_bucket(tmp_path: Path) -> None:
    """A bucket that cannot be written to is a must of its own."""
    settings = settings_at(tmp_path)
    bucket = settings.bucket_paths()[0]
    found = examined(settings, f"mount --bind {bucket} {bucket}", f"mount -o remount,ro,bind {bucket}")
    assert "rights" in musts(found)
    assert f"{bucket}" in found["rights"]["sentence"]
    assert "Read-only file system" in found["rights"]["sentence"]


def test_a_read_only_board(tmp_path: Path) -> None:
    """Where nothing at all can be tried out, the doctor says so and does not fall over it."""
    settings = settings_at(tmp_path)
    root = settings.global_.pipeline_dir
    found = examined(settings, f"mount --bind {root} {root}", f"mount -o remount,ro,bind {root}")
    assert musts(found) == {"file system", "probes"}
    assert "mounted read-only" in found["file system"]["sentence"]
    assert "Read-only file system" in found["probes"]["sentence"]


def on_memory(tmp_path: Path, size: str, *more: str) -> tuple[Settings, list[str]]:
    """A configuration whose board will be on a small tmpfs, and the commands that make it."""
    settings = settings_at(tmp_path)
    root = settings.global_.pipeline_dir
    shutil.rmtree(root)
    root.mkdir()
    return settings, [f"mount -t tmpfs -o {size} none {root}", *more]


def test_a_small_disk(tmp_path: Path) -> None:
    """Memory is warned of, and so is little space; with some inodes the doctor races for fewer tokens."""
    settings, mounts = on_memory(tmp_path, "size=64m,nr_inodes=2000")
    found = examined(settings, *mounts, code=0)
    assert found["file system"]["level"] == found["space for the board"]["level"] == found["inodes"]["level"] == WARNING
    assert "gone at the next restart" in found["file system"]["sentence"]


def test_a_full_disk(tmp_path: Path) -> None:
    """On a disk without a free byte the missing space is found, and the probes that it stops are findings as well."""
    settings, mounts = on_memory(tmp_path, "size=1m,nr_inodes=2000")
    root = settings.global_.pipeline_dir
    fill = f"(dd if=/dev/zero of={root}/fill bs=4k 2>/dev/null || true)"
    found = examined(settings, *mounts, fill)
    assert {"space for the board"} < musts(found)
    assert found["space for the board"]["sentence"] == "0 bytes free for the board."


def test_no_inode_left(tmp_path: Path) -> None:
    """On a disk without a free inode not even the probes' folder can be made: said, with what to do."""
    settings, mounts = on_memory(
        tmp_path,
        "size=1m,nr_inodes=3",
    )
    root = settings.global_.pipeline_dir
    found = examined(settings, *mounts, f"touch {root}/one {root}/two")
    assert musts(found) == {"probes"}
    assert "No space left on device" in found["probes"]["sentence"]


# --- as somebody, at work, killed ---


def test_a_folder_of_somebody_elses(tmp_path: Path) -> None:
    """A folder that this user may not write to is a must, and the right to give is the cure."""
    with new_place() as place:
        place.chmod(0o777)
        settings = settings_at(place)
        for folder in (place, *place.rglob("*")):
            folder.chmod(0o777)
        closed = settings.bucket_paths()[0] / "held"
        closed.chmod(0o555)
        out = place / "found.json"

        def examine() -> None:
            if os.geteuid() == 0:
                os.setegid(65534)
                os.seteuid(65534)
            with opened(settings) as site:
                found = list(probes.rights(site))
            out.write_text(json.dumps([one.as_dict() for one in found]))

        child = fork(examine, place / "log")
        assert os.waitpid(child, 0)[1] == 0, (place / "log").read_text()
        [bad] = [one for one in json.loads(out.read_text()) if one["level"] == MUST]
        assert bad["sentence"] == f"{closed} cannot be written to: Permission denied."
        assert "chown" in bad["cure"]


HOP = """
from common.stage import Stage

class Hop(Stage):
    def process(self, book, work):
        pass
"""


def test_while_everything_runs(tmp_path: Path) -> None:
    """A doctor again and again on a board at work: no book is lost, doubled or failed, and nothing of it stays."""
    line = Line(tmp_path, HOP)
    for number, name in enumerate("ab"):
        line.stage(name, "Hop", number)
    line.seed([f"B{number}" for number in range(60)])
    inodes = {barcode: places[0][1] for barcode, places in line.tokens().items()}
    settings = config.load(line.config, classes=None)
    up, looks = line.up("--until-drained"), 0
    while up.poll() is None:
        bad = [one for one in doctor._probed(settings, CLAIMS) if one.level == MUST]
        assert bad == []
        looks += 1
    assert up.returncode == 0, line.log()[-2000:]
    assert looks
    assert line.tokens() == {barcode: [("02_b", inode)] for barcode, inode in inodes.items()}
    assert [name for name in tree(line.root) if "doctor" in name] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_doctor_that_is_stopped(tmp_path: Path, number: int) -> None:
    """A doctor that is told to stop in the middle of a race removes all that it made."""
    settings = settings_at(tmp_path)
    before = tree(tmp_path)
    command = [sys.executable, "-c", DOCTOR, str(settings.path), "200000"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until(lambda: list(settings.global_.pipeline_dir.glob(".doctor-*/pipeline/00_probe/T9.json")), 60)
        process.send_signal(number)
        assert process.wait(60) != 0
    assert tree(tmp_path) == before


def test_a_doctor_that_is_killed(tmp_path: Path) -> None:
    """What a doctor that was killed leaves is in no stage's way, and the next one after an hour removes it."""
    settings = settings_at(tmp_path)
    before, root = tree(tmp_path), settings.global_.pipeline_dir
    command = [sys.executable, "-c", DOCTOR, str(settings.path), "200000"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        until(lambda: list(root.glob(".doctor-*/pipeline/00_probe/T9.json")), 60)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    [left] = root.glob(".doctor-*")
    then = time.time() - 3700
    os.utime(left, (then, then))
    with opened(settings) as site:
        assert isinstance(site, Site)
    assert tree(tmp_path) == before
