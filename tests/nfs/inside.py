"""What the virtual machine runs: the race for claims, a storm of kills, the doctor; each over two clients' mounts."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path

from common import board, config, listing
from common.heartbeat import worker_name
from services.orchestrator import mounts
from tests.board.storm import harness
from tests.board.storm.storm import Member, Plan, Storm
from tests.board.test_races import claim_all, copied_claims, put, start_together
from tests.nfs.machines import SHARED, Machine, clients, serve

MACHINES = (Machine(1), Machine(2))
RECOMMENDED = mounts._RECOMMENDED
OPTIONS = {"recommended": RECOMMENDED, "defaults": "nfsvers=4.2", "v3": "nfsvers=3,nolock,mountport=20048,proto=tcp"}
_CLAIMANTS = 4
_REAP_AFTER = 8.0
# A mount's memory is at most a minute old unless it is told otherwise.
_PATIENCE = 120.0


def main() -> int:
    """All of it; 1 when anything did not hold."""
    began = time.monotonic()
    serve()
    for machine in MACHINES:
        machine.connect()
    wrong = list(itertools.chain(_races(), _storm_and_doctor()))
    for sentence in wrong:
        _say(f"WRONG: {sentence}")
    _say(f"{'All held' if not wrong else 'Not all held'}, in {time.monotonic() - began:.0f} s.")
    return int(bool(wrong))


def _say(text: str) -> None:
    print(text, flush=True)


def _size(name: str, otherwise: int) -> int:
    return int(os.environ.get(f"GRIN_NFS_{name}", otherwise))


@contextmanager
def mounted(options: str) -> Iterator[None]:
    """The server's disk on both machines."""
    for machine in MACHINES:
        machine.mount(options, "/" if "nfsvers=4" in options else str(SHARED))
    try:
        yield
    finally:
        for machine in MACHINES:
            machine.unmount()


# --- the race -------------------------------------------------------------------------------------------------------


def _races() -> Iterator[str]:
    names = os.environ.get("GRIN_NFS_MOUNTS", ",".join(OPTIONS)).split(",")
    for name in names:
        tokens = _size("TOKENS", 1000) // (1 if name == "recommended" else 4)
        yield from _race(name, OPTIONS[name], tokens, nullcontext)
    if not any(_race("copied", RECOMMENDED, 150, copied_claims)):
        yield "Claims by copy were all won once too: the race proves nothing."
    else:
        _say("copied: some tokens were won twice, as they must be where a claim is a copy: the race can be lost.")


def _race(name: str, options: str, tokens: int, around: Callable[[], AbstractContextManager[object]]) -> Iterator[str]:
    """Claimants on both machines want the same tokens; each is claimed by one of them."""
    home = SHARED / f"race-{name}"
    board.prepare(home, [home / "01_in"])
    put(home / "01_in", tokens)
    with mounted(options):
        for machine in MACHINES:
            _say(f"{name}: {machine.line()}")
        _say(f"{name}: {clients()}")
        began = time.monotonic()
        claimed, rounds = [], 0
        # What a mount remembers may make its claimants give up early; then they come again, with the same memory.
        while next(listing.barcodes(home / "01_in"), None) and time.monotonic() < began + _PATIENCE:
            rounds += 1
            claimed += _claimed(home, rounds, around)
        seconds = time.monotonic() - began
        asked = [f"{machine.name} asked for {machine.asked()}" for machine in MACHINES]
    _say(
        f"{name}: {tokens} tokens, {2 * _CLAIMANTS} claimants on 2 mounts: {len(claimed)} claims, {len(set(claimed))} "
        f"different, {len(claimed) / seconds:,.0f} a second, in {rounds} rounds"
    )
    for sentence in asked:
        _say(f"{name}: {sentence}")
    if len(claimed) != tokens or len(set(claimed)) != tokens:
        yield f"{name}: {tokens} tokens gave {len(claimed)} claims of {len(set(claimed))} tokens."
    if sorted(listing.barcodes(home / "01_in", board.WORKING)) != sorted(claimed):
        yield f"{name}: the server does not hold the claims that were made."
    if next(listing.barcodes(home / "01_in"), None) is not None:
        yield f"{name}: tokens were left."


def _claimed(home: Path, turn: int, around: Callable[[], AbstractContextManager[object]]) -> list[str]:
    results, works = [], []
    for number, machine in itertools.product(range(_CLAIMANTS), MACHINES):
        result = Path(f"/tmp/{home.name}-{machine.name}-{number}-{turn}")
        results.append(result)
        bucket = machine.point / home.name / "01_in"
        works.append(partial(machine.run, claim_all, bucket, result.name, result, around))
    start_together(works, Path(f"/tmp/{home.name}-start-{turn}"))
    return [barcode for result in results for barcode in result.read_text().split()]


# --- the storm and the doctor ---------------------------------------------------------------------------------------


class Apart(Storm):
    """Workers and reapers take turns on the two machines; what is judged is what the server itself holds."""

    def __post_init__(self) -> None:
        # Two NFS clients that append to one file at once overwrite each other: a ledger has one writer, this log many.
        (self.folder / "work.log").symlink_to("/tmp/work.log")
        super().__post_init__()
        self.turns = itertools.cycle(MACHINES)

    def _start(self, member: Member, work: partial[None]) -> None:
        machine = next(self.turns)
        settings = config.load(machine.point / self.folder.name / "config.yaml")
        super()._start(member, partial(machine.run, work.func, settings, *work.args[1:]))


def _storm_and_doctor() -> Iterator[str]:
    folder = SHARED / "storm"
    folder.mkdir()
    with mounted(RECOMMENDED):
        books, kills, pauses = _size("BOOKS", 100), _size("KILLS", 24), _size("PAUSES", 2)
        plan = Plan(books, kills, pauses, seed=_size("SEED", 1), reap_after=_REAP_AFTER, patience=180)
        storm = Apart(folder, plan)
        verdict = storm.run()
        _say(f"storm: {verdict.line()}")
        yield from verdict.wrong()
        for machine in MACHINES:
            _say(f"storm: {machine.name} asked for {machine.asked()}")
        yield from _doctor(storm)


def _doctor(storm: Apart) -> Iterator[str]:
    """The doctor looks from one machine while workers of the other are at work."""
    here, there = MACHINES
    config_of = {machine: machine.point / storm.folder.name / "config.yaml" for machine in MACHINES}
    workers = []
    for row in storm.settings.filters[:2]:
        work = partial(harness.work, config.load(config_of[there]), row.name, worker_name(row.name))
        workers.append(harness.fork(partial(there.run, work)))
    time.sleep(_REAP_AFTER / 2)
    if harness.exit_code(harness.fork(partial(here.run, _examine, config_of[here])), 300):
        yield "The doctor does not find that all is well."
    for pid in workers:
        os.kill(pid, 15)
        if harness.exit_code(pid):
            yield "A worker did not end well."


def _examine(path: Path) -> None:
    from services.orchestrator import cli

    if code := cli.main(["doctor", "--no-stages", "--config", str(path)]):
        raise SystemExit(code)


if __name__ == "__main__":
    sys.exit(main())
