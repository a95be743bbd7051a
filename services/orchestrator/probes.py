"""What `doctor` tries out on the file system itself; each probe yields its findings and may raise OSError."""

from __future__ import annotations

import os
import socket
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from common import board, durable
from common.heartbeat import seen
from common.ledger import Ledger
from services.orchestrator.findings import MUST, OK, Finding, finding
from services.orchestrator.mounts import mount_of
from services.orchestrator.probe_site import Site, foreign_folders, other_folders, token_folders
from services.orchestrator.rivals import delays, race, silences

_ELSEWHERE = "Put pipeline_dir on a local disk, NFS 4.1 (EFS, Filestore …) or CephFS."
_RIGHTS = "Give the user that runs the stages the right to write there: chown, chmod, or fsGroup in Kubernetes."
# The race stops after so many seconds, however slow the file server is; below so many claims a second it is slow.
_RACE_SECONDS, _SLOW_CLAIMS = 20.0, 50
_SYNCS, _SLOW_SYNC = 10, 0.1
# Another process gets so long, in seconds, to see something new; after the second figure it is slow.
PATIENCE, _SLOW_SIGHT = 10.0, 5.0
_TIMES_CURE = "Mount it with actimeo=1, or raise reap_after: live workers are otherwise taken for dead."
_SKEW = 2.0
# A token, its ledger and its bucket's name stay for each book for good.
_INODES_LEAST, _INODES_FEW = 1_000, 100_000
_BYTES_LEAST, _BYTES_FEW = 16 << 20, 1 << 30
# As long as a barcode and a claim's name can be.
_BARCODE = "A$b-c_d." + "x" * 56
_WORKER = "w" * 118


def one_mount(site: Site) -> Iterator[Finding]:
    """All folders that a token visits are on the mount of the board itself, sub-path mounts included."""
    ours, folders = mount_of(site.home), token_folders(site.settings)
    # A book is registered by a link from one of these into the ledger.
    folders += [ledger for ledger in [site.settings.global_.pipeline_dir / "ledger"] if ledger.is_dir()]
    for folder in folders:
        theirs = mount_of(folder)
        if (theirs.id, folder.stat().st_dev) != (ours.id, site.home.stat().st_dev):
            text = f"{folder} is a mount of its own ({theirs.kind} at {theirs.point}), apart from {ours.point}"
            cure = "Mount the board once, at pipeline_dir or above: no rename crosses mounts, not even of one disk."
            yield Finding("one mount", MUST, f"{text}: tokens cannot get there.", cure)
    counted = f"{len(folders)} folders of the board" if folders else "The board is not there yet; its place"
    yield Finding("one mount", OK, f"{counted}: all on {ours.point} ({ours.kind}).")


def renames(site: Site) -> Iterator[Finding]:
    """A file keeps its inode number on its way through every bucket and state."""
    place = site.folder / "token"
    place.touch()
    inode, tour = place.lstat().st_ino, [site.bucket, site.bucket / board.WORKING, *token_folders(site.settings)]
    began = time.monotonic()
    for folder in tour:
        place = _renamed(place, site.probe_in(folder))
        if place.lstat().st_ino != inode:
            text = f"A rename into {folder} changed the inode number from {inode} to {place.lstat().st_ino}"
            yield Finding("renames", MUST, f"{text}: it was a copy, and two workers can win one book.", _ELSEWHERE)
            break
    else:
        each = (time.monotonic() - began) / len(tour)
        yield Finding("renames", OK, f"{len(tour)} folders, one inode; {each * 1000:.1f} ms each.")
    place.unlink(missing_ok=True)


def _renamed(source: Path, target: Path) -> Path:
    try:
        source.rename(target)
    except OSError:
        # A network file system may report failure of a rename that happened.
        if os.path.lexists(source) or not os.path.lexists(target):
            raise
    return target


def links(site: Site) -> Iterator[Finding]:
    """A book is registered by a hard link, exactly once; an exclusive create is refused when the name exists."""
    ledger = Ledger(site.root / "ledger")
    first, second = ledger.register("PROBE"), ledger.register("PROBE")
    text = (
        "A hard link registers a book once."
        if first and not second
        else "Hard links do not keep a book from being registered twice."
    )
    yield finding("hard links", text, _ELSEWHERE, must=not first or second)
    again = _created_twice(site.folder / "exclusive")
    text = "An exclusive create succeeds twice." if again else "An exclusive create is refused where the name exists."
    yield finding("exclusive create", text, _ELSEWHERE, must=again)


def _created_twice(path: Path) -> bool:
    for _ in range(2):
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
    return True


def claims(site: Site, tokens: int) -> Iterator[Finding]:
    """Two processes race for tokens: each is claimed once."""
    free = os.statvfs(site.folder)
    if free.f_files:
        tokens = max(10, min(tokens, free.f_favail // 4))
    found = race(site.bucket, tokens, _RACE_SECONDS)
    won = f"Two processes raced for {found.tokens:,} tokens: {found.once:,} claimed once"
    if found.doubled or found.lost:
        text = f"{won}, {found.doubled:,} by both, {found.lost:,} by neither although they are gone."
        yield Finding("claims", MUST, text, _ELSEWHERE)
        return
    text, slow = f"{won}, none twice; {found.rate:,.0f} claims a second.", found.rate < _SLOW_CLAIMS
    yield finding("claims", text, "A file server nearer by, or a faster one, makes the line faster.", warning=slow)


def syncs(site: Site) -> Iterator[Finding]:
    """Files and folders can be pushed to the disk; how long that takes."""
    folder, took = site.make("syncs"), []
    for number in range(_SYNCS):
        began = time.monotonic()
        durable.write_new(folder / f"{number}", b"x" * 4096)
        durable.fsync_dir(folder)
        took.append(time.monotonic() - began)
    middle, worst = statistics.median(took), max(took)
    text = f"A file and its name are durable after {middle * 1000:.1f} ms (median; worst {worst * 1000:.1f} ms)."
    cure = "A disk or a file server that writes through more quickly: each book needs some twenty of these."
    yield finding("fsync", text, cure, warning=middle > _SLOW_SYNC)


def sight(site: Site) -> Iterator[Finding]:
    """Another process sees new names and heartbeats soon enough."""
    common = site.settings.global_
    patience = max(PATIENCE, 2 * common.reap_after)
    found = delays(site.make("sight"), patience)
    text = f"Another process sees a new name after {_seconds(found.name, patience)}"
    text += f", in a listing after {_seconds(found.listing, patience)}."
    cure = "Mount it with lookupcache=positive,actimeo=1, or what your file system calls so."
    worst = max(found.name, found.listing)
    yield finding("new names", text, cure, must=worst == float("inf"), warning=worst > _SLOW_SIGHT)
    allowed = common.reap_after - common.beat_every
    text = f"It sees a heartbeat after {_seconds(found.time, patience)}; reap_after is {common.reap_after:g} s."
    yield finding(
        "heartbeats", text, _TIMES_CURE, must=found.time >= allowed, warning=found.time > common.reap_after / 3
    )


def machines(site: Site) -> Iterator[Finding]:
    """The heartbeats of workers on other machines are seen here, through this machine's memory, soon enough."""
    common, here = site.settings.global_, socket.gethostname()
    folder, now = common.pipeline_dir / "workers", durable.server_time(site.folder)
    living = [one for one in seen(folder, now) if abs(one.age) < common.reap_after] if folder.is_dir() else []
    beats = [folder / f"{one.worker}.json" for one in living if str(one.facts.get("host", here)) != here]
    if not beats:
        yield Finding("other machines", OK, "No worker on another machine is at work, so nothing was measured there.")
        return
    worst = max(silences(beats, 2 * common.reap_after))
    text = f"The heartbeats of workers on other machines ({len(beats)}) seem to stand still for at most {worst:.1f} s"
    text += f"; they are dead after {common.reap_after:g} s."
    late = worst > common.beat_every + common.reap_after / 3
    yield finding("other machines", text, _TIMES_CURE, must=worst >= common.reap_after, warning=late)


def _seconds(value: float, patience: float) -> str:
    return f"{value:.2f} s" if value < patience else f"more than {patience:.0f} s"


def times(site: Site) -> Iterator[Finding]:
    """A file's time can be set into the future, to the second; the server's clock agrees with this machine's."""
    now, probe = time.time(), site.folder / "times"
    server = durable.server_time(site.folder)
    probe.touch()
    wanted = [float(int(server) + 3600 + step) for step in range(3)]
    read = [_set_time(probe, value) for value in wanted]
    off = max(abs(one - other) for one, other in zip(read, wanted, strict=True))
    text = "Times can be set, to the second and finer." if off < 1 else f"A time that was set reads {off:,.0f} s off."
    yield finding("times", text, f"Deferred books wait by their files' times. {_ELSEWHERE}", must=off >= 1)
    ahead = server - (now + time.time()) / 2
    text = f"The file server's clock is {abs(ahead):.1f} s {'ahead of' if ahead >= 0 else 'behind'} this machine's."
    cure = (
        "Let both follow the same time server (chrony, systemd-timesyncd); logs and ledgers are hard to read otherwise."
    )
    yield finding("clock", text, cure, warning=abs(ahead) > _SKEW)


def _set_time(path: Path, value: float) -> float:
    os.utime(path, (value, value))
    return path.stat().st_mtime


def space(site: Site) -> Iterator[Finding]:
    """Bytes and inodes are left, for the board and for the books."""
    common = site.settings.global_
    free = durable.free_bytes(common.processing_bucket)
    text = f"{free:,} bytes free for the books, min_free is {common.min_free:,}."
    yield finding(
        "space for books",
        text,
        "Make space, or lower min_free: no book is fetched before.",
        must=free < common.min_free,
    )
    free = durable.free_bytes(site.home)
    cure = "Make space: each book's token and ledger take some 8 kB for good."
    yield finding(
        "space for the board",
        f"{free:,} bytes free for the board.",
        cure,
        must=free < _BYTES_LEAST,
        warning=free < _BYTES_FEW,
    )
    figures = os.statvfs(site.home)
    left = figures.f_favail if figures.f_files else _INODES_FEW
    text = f"{left:,} inodes free." if figures.f_files else "The file system counts no inodes."
    cure = "Make a file system with more inodes (mkfs -N, nr_inodes=): each book keeps two or three for good."
    yield finding("inodes", text, cure, must=left < _INODES_LEAST, warning=left < _INODES_FEW)


def rights(site: Site) -> Iterator[Finding]:
    """Every folder that the stages write to can be written to."""
    folders = list(dict.fromkeys([*token_folders(site.settings), *other_folders(site.settings)]))
    for folder in folders:
        try:
            site.probe_in(folder).touch()
            site.probe_in(folder).unlink(missing_ok=True)
        except OSError as error:
            yield Finding("rights", MUST, f"{folder} cannot be written to: {error.strerror}.", _RIGHTS)
    for folder in foreign_folders(site.settings):
        yield Finding("rights", MUST, f"{folder} is another user's and cannot be written to.", _RIGHTS)
    yield Finding("rights", OK, f"{len(folders)} folders tried.")


def names(site: Site) -> Iterator[Finding]:
    """Upper and lower case differ, and every barcode and claim makes a name."""
    folder = site.make("names")
    (folder / "case").touch()
    folded = (folder / "CASE").exists()
    text = "A and a are the same name: two books can be one." if folded else "A and a are two names."
    yield finding("letter case", text, f"Barcodes differ by case. {_ELSEWHERE}", must=folded)
    token = board.path_of(site.bucket, _BARCODE, board.WAITING)
    try:
        token.touch()
        held = board.claim(site.bucket, _BARCODE, _WORKER, 10**17)
    except OSError as error:
        text = f"The name of a 64-character barcode with $ - _ . and that of its claim are refused: {error.strerror}."
        yield Finding("long names", MUST, text, _ELSEWHERE)
        return
    length = len(held.path.name) if held else 0
    text = f"Names of {length} characters, with $ - _ . ~ in them, are accepted."
    yield finding("long names", text, _ELSEWHERE, must=held is None)
