"""`doctor`: what it knows of file systems, what it says, and that it leaves nothing behind."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path

import pytest
import yaml

from common import __version__, board, config
from common.config import Settings
from services.orchestrator import cli, doctor, probes, rivals
from services.orchestrator.findings import MUST, OK, WARNING, Finding
from services.orchestrator.mounts import Mount, judge, mount_of, parse
from services.orchestrator.probe_site import opened
from services.orchestrator.probe_versions import versions
from services.orchestrator.render import PipeConsole

LINE = "36 35 98:0 /sub /mnt/my\\040board rw,noatime master:1 shared:2 - {kind} {source} rw,{more}"


def settings_at(folder: Path, **common: object) -> Settings:
    """A configuration of one stage that needs nothing to start."""
    pipes = {"input_pipe": "pipeline/00_in", "output_pipe": "pipeline/01_out"}
    shared = {"temp_dir": str(folder / "temp"), **common}
    rows = [{"name": "extractor", "class": "Extractor", **pipes}]
    (folder / "config.yaml").write_text(yaml.safe_dump({"global": shared, "filters": rows}))
    return config.load(folder / "config.yaml")


def prepare(settings: Settings) -> Path:
    """Make its board."""
    board.prepare(settings.global_.pipeline_dir, settings.bucket_paths())
    return settings.global_.pipeline_dir


def tree(folder: Path) -> list[str]:
    """All names below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def levels(settings: Settings, claims: int = 50) -> dict[str, str]:
    """The worst level of each name of finding."""
    found: dict[str, str] = {}
    for one in doctor.examine(settings, claims):
        found[one.name] = max(one.level, found.get(one.name, OK), key=[OK, WARNING, MUST].index)
    return found


def judged(kind: str, source: str = "server:/x", more: str = "") -> Finding:
    """What is thought of a mount of this kind."""
    return judge("pipeline_dir", parse(LINE.format(kind=kind, source=source, more=more)))


def test_a_line_of_the_mounts() -> None:
    """A mount's point with a blank in it, its type, its source and both kinds of options are read."""
    found = parse(LINE.format(kind="nfs4", source="server:/my\\040share", more="vers=4.1,hard"))
    options = ("rw", "noatime", "rw", "vers=4.1", "hard")
    assert found == Mount(36, "/mnt/my board", "nfs4", "server:/my share", options, "/sub")


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("fuse.s3fs", "s3fs"),
        ("fuse.gcsfuse", "bucket"),
        ("fuse", "blobfuse2"),
        ("fuse.rclone", "remote:"),
        ("fuse", "goofys"),
        ("fuse", "mountpoint-s3"),
        ("fuse.glusterfs", "server:/volume"),
        ("fuse.sshfs", "server:/x"),
        ("cifs", "//server/share"),
        ("smb3", "//server/share"),
        ("vfat", "/dev/sdb1"),
    ],
)
def test_file_systems_that_are_refused(kind: str, source: str) -> None:
    """Mounted object stores, SMB, GlusterFS, sshfs and FAT are refused by name, with what to use instead."""
    found = judged(kind, source)
    assert found.level == MUST
    assert found.sentence.startswith(f"pipeline_dir is at /mnt/my board, {kind}. That is ")
    assert "NFS 4.1" in found.cure


@pytest.mark.parametrize(
    "kind", ["9p", "virtiofs", "overlay", "tmpfs", "fuse.juicefs", "fuseblk", "fuse.strange", "new"]
)
def test_file_systems_that_are_odd(kind: str) -> None:
    """What is shared by a host, or goes with a restart, or is not known, is a warning: the probes decide."""
    assert judged(kind).level == WARNING


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "ceph", "fuse.ceph-fuse", "lustre"])
def test_file_systems_that_are_meant(kind: str) -> None:
    """Local disks and CephFS are fine, and need no cure."""
    assert (judged(kind).level, judged(kind).cure) == (OK, "")


@pytest.mark.parametrize(
    ("more", "level", "word"),
    [
        ("vers=4.1,acregmin=1,acregmax=1,acdirmin=1,acdirmax=1,hard,lookupcache=pos", OK, "version 4.1"),
        ("vers=4.2,acregmax=1,acdirmax=1,hard,lookupcache=none", OK, "version 4.2"),
        ("vers=3,hard,lookupcache=pos", WARNING, "version 3"),
        ("vers=4.1,soft,lookupcache=pos", WARNING, "soft"),
        ("vers=4.1,hard", WARNING, "looked up in vain"),
    ],
)
def test_how_nfs_is_mounted(more: str, level: str, word: str) -> None:
    """NFS is fine from 4.1 on, mounted hard and with a short memory; else the options are named."""
    found = judged("nfs4", more=more)
    assert found.level == level
    assert word in found.sentence
    assert ("nfsvers=4.1,hard" in found.cure) == (level == WARNING)


def test_the_mount_of_a_path() -> None:
    """The mount that a path is on is found, also when the path itself is not there yet."""
    assert mount_of(Path("/proc/self")).kind == "proc"
    assert mount_of(Path("/proc/self/nothing/here")).point == "/proc"


def test_all_is_well_and_nothing_stays(tmp_path: Path) -> None:
    """On a prepared board of this machine no must fails, every probe says something, and the board is as it was."""
    settings = settings_at(tmp_path)
    root = prepare(settings)
    (root / "00_in" / "B1.json").write_text('{"barcode": "B1"}')
    before = tree(tmp_path)
    found = levels(settings)
    assert set(found) == {
        "file system", "one mount", "space for books", "space for the board", "inodes", "rights", "renames",
        "hard links", "exclusive create", "letter case", "long names", "times", "clock", "fsync", "new names",
        "heartbeats", "other machines", "claims", "stage extractor", "versions",
    }  # fmt: skip
    assert [name for name, level in found.items() if level == MUST] == []
    assert tree(tmp_path) == before


def test_without_a_board_nothing_is_made(tmp_path: Path) -> None:
    """Before the first run the place for the board is examined, and nothing is created that stays."""
    settings = settings_at(tmp_path)
    before = tree(tmp_path)
    found = levels(settings)
    assert MUST not in found.values()
    assert found["claims"] == found["renames"] == OK
    assert tree(tmp_path) == before


def said(settings: Settings, monkeypatch: pytest.MonkeyPatch, *, as_json: bool) -> tuple[int, str]:
    """The exit code of the command and what it prints."""
    monkeypatch.setattr(doctor, "CLAIMS", 20)
    out = io.StringIO()
    return doctor.run(settings, PipeConsole(file=out, width=60, highlight=False), as_json), out.getvalue()


def test_a_person_reads_a_line_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line a finding with its sign, unbroken however narrow the terminal; a cure below it where it is not ok."""
    code, text = said(settings_at(tmp_path, min_free="900 TB"), monkeypatch, as_json=False)
    lines = text.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("✗ space for books"))
    assert code == 3
    assert "min_free is 900,000,000,000,000." in lines[at]
    assert lines[at + 1].startswith("    Make space, or lower min_free")
    assert any(line.startswith("✓ claims") for line in lines)


def test_a_program_reads_one_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--json is one object with all findings and whether all is well; the exit code says the same."""
    code, text = said(settings_at(tmp_path), monkeypatch, as_json=True)
    facts = json.loads(text)
    assert (code, facts["ok"]) == (0, True)
    assert {tuple(one) for one in facts["findings"]} == {("name", "level", "sentence", "cure")}
    code, text = said(settings_at(tmp_path, min_free="900 TB"), monkeypatch, as_json=True)
    assert (code, json.loads(text)["ok"]) == (3, False)


def test_what_keeps_a_stage_from_starting(tmp_path: Path) -> None:
    """Each problem that a stage's own check tells is a finding of that stage, and so is one that cannot be made."""
    settings = settings_at(tmp_path)
    rows = [
        settings.filters[0].model_copy(update={"options": {"max_members": "many"}}),
        settings.filters[0].model_copy(update={"name": "odd", "class_": "nowhere:Nothing"}),
    ]
    found = list(doctor._stages(settings.model_copy(update={"filters": rows})))
    assert [(one.name, one.level) for one in found] == [("stage extractor", MUST), ("stage odd", MUST)]
    assert "max_members" in found[0].sentence
    assert "nowhere" in found[1].sentence


def test_leftovers_of_a_killed_doctor(tmp_path: Path) -> None:
    """What a killed doctor left, in its folder and in the buckets, goes when it is an hour old, and not before."""
    settings = settings_at(tmp_path)
    root = prepare(settings)
    old, young = f".doctor-{'0' * 16}", f".doctor-{'1' * 16}"
    for name, age in ((old, 3700), (young, 3000), (".doctor-of-another-kind", 3700)):
        (root / name / "deep").mkdir(parents=True)
        (root / name / "deep" / "file").touch()
        (root / "00_in" / "held" / f"{name}.probe").touch()
        then = time.time() - age
        os.utime(root / name, (then, then))
    levels(settings)
    assert [name for name in tree(root) if old in name] == []
    assert [name for name in tree(root) if young in name] == [
        young, f"{young}/deep", f"{young}/deep/file", f"00_in/held/{young}.probe",
    ]  # fmt: skip
    assert (root / ".doctor-of-another-kind" / "deep" / "file").exists()


def test_an_interrupted_doctor_leaves_nothing(tmp_path: Path) -> None:
    """Whoever stops reading after the first findings finds the board as it was."""
    settings = settings_at(tmp_path)
    prepare(settings)
    before = tree(tmp_path)
    findings = doctor.examine(settings, 50)
    while next(findings).name != "renames":
        assert len(tree(tmp_path)) >= len(before)
    findings.close()
    assert tree(tmp_path) == before


def test_claims_that_two_can_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin: where a claim copies instead of renaming, the race shows books that both have won."""

    def copying(bucket: Path, barcode: str, worker: str, number: int) -> board.Claim:
        return board.Claim(bucket, barcode, worker, number)

    monkeypatch.setattr(rivals.board, "claim", copying)
    with opened(settings_at(tmp_path)) as site:
        [found] = probes.claims(site, 50)
    assert found.level == MUST
    assert "50 by both" in found.sentence


def test_claims_that_nobody_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin: where a claim loses the token, the race shows books that are gone."""

    def losing(bucket: Path, barcode: str, worker: str, number: int) -> None:
        board.path_of(bucket, barcode, board.WAITING).unlink(missing_ok=True)

    monkeypatch.setattr(rivals.board, "claim", losing)
    with opened(settings_at(tmp_path)) as site:
        [found] = probes.claims(site, 50)
    assert found.level == MUST
    assert "50 by neither" in found.sentence


def test_slow_claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow race ends in time, counts what was raced for, and is a warning."""
    monkeypatch.setattr(probes, "_RACE_SECONDS", 0.5)
    real = board.claim

    def slow(bucket: Path, barcode: str, worker: str, number: int) -> board.Claim | None:
        time.sleep(0.05)
        return real(bucket, barcode, worker, number)

    monkeypatch.setattr(rivals.board, "claim", slow)
    with opened(settings_at(tmp_path)) as site:
        [found] = probes.claims(site, 1000)
    assert found.level == WARNING


def test_a_rival_that_dies_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe's process that is killed ends the probe, not the doctor."""
    monkeypatch.setattr(rivals.board, "claim", lambda *_: os._exit(9))
    with opened(settings_at(tmp_path)) as site:
        [found] = doctor._guarded("claims", lambda place: probes.claims(place, 50), site)
    assert (found.level, "another process has died" in found.sentence) == (MUST, True)


def test_a_doctor_where_the_stages_run_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--no-stages imports no class and asks no store; --prepare makes the folders, only when all is well."""
    monkeypatch.setattr(doctor, "CLAIMS", 100)
    settings = settings_at(tmp_path, done_bucket="s3://nowhere/at-all")
    text = settings.path.read_text().replace("class: Extractor", "class: elsewhere:Stage")
    settings.path.write_text(text)
    command = ["doctor", "--no-stages", "--config", str(settings.path)]
    assert cli.main(command) == 0
    assert not (tmp_path / "pipeline").exists()
    assert cli.main([*command, "--prepare"]) == 0
    assert (tmp_path / "pipeline" / "00_in").is_dir()


def test_a_board_that_was_killed_can_be_started_again(tmp_path: Path) -> None:
    """Before a start, a worker that has just died on another machine is no reason to wait, let alone to refuse."""
    settings = settings_at(tmp_path)
    home = prepare(settings)
    (home / "workers" / "extractor-elsewhere-1-00000000.json").write_text('{"host": "elsewhere"}')
    began = time.monotonic()
    assert cli.main(["doctor", "--no-stages", "--prepare", "--config", str(settings.path)]) == 0
    assert time.monotonic() - began < settings.global_.reap_after


def test_nothing_is_prepared_on_a_disk_that_will_not_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finding that must not be keeps --prepare from making anything."""
    settings = settings_at(tmp_path)
    monkeypatch.setattr(doctor, "CLAIMS", 100)
    monkeypatch.setattr(doctor, "mount_of", lambda _path: Mount(1, "/", "cifs", "//server/share", ()))
    assert cli.main(["doctor", "--no-stages", "--prepare", "--config", str(settings.path)]) == 3
    assert not (tmp_path / "pipeline").exists()


def test_workers_of_another_release(tmp_path: Path) -> None:
    """Live workers that run another release are a warning with their number, and so are old ones that tell none."""
    settings = settings_at(tmp_path)
    workers = prepare(settings) / "workers"
    assert [one.level for one in versions(settings)] == [OK]
    for number, version in enumerate(("0.0.9", "0.0.9", "[bold]\x1b[2J", __version__)):
        (workers / f"extractor-here-{number}-00000000.json").write_text(json.dumps({"version": version}))
    (workers / "extractor-here-9-00000000.json").write_text("{}")
    for number, time_of_day in ((7, 4e9), (8, 1)):
        dead = workers / f"extractor-here-{number}-00000000.json"
        dead.write_text(json.dumps({"version": "0.0.1"}))
        os.utime(dead, (time_of_day, time_of_day))
    [_, found] = versions(settings)
    assert found.level == WARNING
    assert "2 of 0.0.9" in found.sentence and "1 of none that it tells" in found.sentence
    assert "0.0.1" not in found.sentence
