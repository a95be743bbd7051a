"""What must be true of a disk after a power cut, before anybody has touched it and after the recovery."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.board.powercut.disk import Disk, Mark, Op
from tests.board.powercut.line import BOOK, NAMES, Line, Says, made_by
from tests.board.powercut.recorder import history
from tests.board.powercut.scenes import Scene

LEDGER = f"pipeline/ledger/{BOOK[-3:]}/{BOOK}.jsonl"
_BUCKETS = (*(f"{number:02}_b/" for number in range(len(NAMES) + 1)), "dropped/")
NOWHERE, SEEDING = "nowhere", "seeding"
# Steps after which the token is where it is, and those after which a line of the ledger stands.
_MOVES = frozenset({"finish", "fail", "defer", "give_back", "seed_all", "recover", "told"})
_LINES = frozenset({"append", "register_all"})


@dataclass(frozen=True)
class Promise:
    """What had been reported as durable when the power went."""

    places: frozenset[str] = frozenset({NOWHERE})
    """Where the token may be: where it was when the last move had returned, and wherever it went since."""
    ledger: bytes = b""
    """The ledger as it was when the last line had been written."""
    published: frozenset[str] = frozenset()
    """The stages whose results are there."""


def promises(base: Disk, log: list[Op]) -> list[Promise]:
    """The promise at each point of a log."""
    found, places = [Promise()], [NOWHERE]
    seen = history(base, log)
    next(seen)
    for op, disk in zip(log, seen, strict=True):
        before, step = found[-1], op.step if isinstance(op, Mark) else ""
        places = [place(disk)] if step in _MOVES or step == "register_all" else [*places, place(disk)]
        there = frozenset(name for name in NAMES if disk.find(f"processing/{BOOK}/{name}") is not None)
        published = there if step == "publish" else before.published & there
        ledger = disk.files("pipeline/ledger").get(LEDGER.removeprefix("pipeline/ledger/"), b"")
        found.append(Promise(frozenset(places), ledger if step in _LINES else before.ledger, published))
    return found


def tokens(disk: Disk) -> dict[str, bytes]:
    """Every token of the book on the board, by its path."""
    files = disk.files("pipeline")
    tokens = (path for path in files if path.startswith(_BUCKETS) and path.rpartition("/")[2].startswith(BOOK))
    return {path: files[path] for path in tokens}


def place(disk: Disk) -> str:
    """Where the book is: its token's path, among the seeds with its name registered, or nowhere."""
    found = tokens(disk)
    return " and ".join(sorted(found)) if found else SEEDING if _seed(disk) is not None else NOWHERE


def _seed(disk: Disk) -> bytes | None:
    """The registered token's bytes while it is not on the board."""
    first = _events(disk.files("pipeline/ledger").get(LEDGER.removeprefix("pipeline/ledger/"), b""))[:1]
    name = first[0].get("token") if first else None
    return disk.files("pipeline/seeding").get(str(name))


def _events(ledger: bytes) -> list[dict[str, Any]]:
    found = []
    for line in ledger.split(b"\n"):
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [event for event in found if isinstance(event, dict)]


def raw_faults(disk: Disk, promise: Promise, scene: Scene, line: Line) -> list[str]:
    """What is wrong on the disk as the power cut left it."""
    where, found = place(disk), tokens(disk)
    ledger = disk.files("pipeline/ledger").get(LEDGER.removeprefix("pipeline/ledger/"), b"")
    folders = {name: disk.files(f"processing/{BOOK}/{name}") for name in NAMES}
    whole = {name for name in NAMES if folders[name] == made_by(name)}
    events = _events(ledger)
    checks = {
        f"the token is in {len(found)} places": len(found) > 1,
        f"the token is {where}, not {sorted(promise.places)}": where not in promise.places,
        "the token is torn": any(data != line.token() for data in (*found.values(), _seed(disk) or line.token())),
        "a line of the ledger that was durable is gone": not ledger.startswith(promise.ledger),
        "a token is on the board and not registered": bool(found)
        and [e["event"] for e in events[:1]] != ["registered"],
        "a published result is not whole": bool({n for n in NAMES if disk.find(f"processing/{BOOK}/{n}")} - whole),
        "a published result is gone": not promise.published <= whole,
        "the token came without its files": not scene.repeats and _lacks_files(where, whole),
    }
    return [sentence for sentence, wrong in checks.items() if wrong]


def _bucket(where: str) -> int:
    return int(where[:2]) if where[:2].isdigit() else 0


def _lacks_files(where: str, whole: set[str]) -> bool:
    bucket = _bucket(where)
    return bucket > 0 and NAMES[bucket - 1] not in whole


def faults_after(disk: Disk, scene: Scene, line: Line) -> list[str]:
    """What is wrong when the real recovery has been at work on that disk in the line's empty folder."""
    disk.materialise(line.folder)
    before = {path.lstat().st_ino for path in line.places()}
    Says.worked.clear()
    Says.sayings = dict(scene.says)
    line.recover(told=scene.told)
    places = line.places()
    ends = [str(path.parent.relative_to(line.root)) for path in places]
    if ends != [scene.ends]:
        return [f"the book ended in {ends or 'no place'}"]
    newest = NAMES[_bucket(scene.ends) - 1]
    kinds = [event["event"] for event in line.ledger.read(BOOK)]
    checks = {
        "the token is not what it was": places[0].read_bytes() != line.token(),
        "the token is another inode": bool(before - {path.lstat().st_ino for path in places}),
        "the result is not whole": line.published().get(newest) != made_by(newest),
        f"it was registered {kinds.count('registered')} times": kinds.count("registered") != 1,
        "lines of the ledger cannot be read": _unreadable(line) > 1,
        "an attempt was not counted": kinds.count("attempt") < _attempts(disk) + len(Says.worked),
        f"work was repeated: {Says.worked}": _repeated(disk, scene),
    }
    return [sentence for sentence, wrong in checks.items() if wrong]


def _unreadable(line: Line) -> int:
    """Lines that are no JSON; a power cut may tear the one that was being written."""
    lines = line.ledger.path(BOOK).read_bytes().split(b"\n")
    return len([text for text in lines if text]) - len(_events(b"\n".join(lines)))


def _attempts(disk: Disk) -> int:
    ledger = disk.files("pipeline/ledger").get(LEDGER.removeprefix("pipeline/ledger/"), b"")
    return [event["event"] for event in _events(ledger)].count("attempt")


def _repeated(disk: Disk, scene: Scene) -> bool:
    """Whether a stage worked again although the token was past it, or its result was there, or more than it had to."""
    if scene.repeats:
        return False
    where = _bucket(place(disk))
    finished = {name for number, name in enumerate(NAMES) if number < where or disk.find(f"processing/{BOOK}/{name}")}
    times = {name: Says.worked.count(name) for name in NAMES}
    return any(times[name] > (0 if name in finished else 2 if name in scene.says else 1) for name in NAMES)
