"""One rate for all processes that share a board, measured where the requests arrive."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from common import board, durable
from common.errors import Halt
from common.grin import rate as rates
from common.grin.rate import RateLimit
from common.grin.session import Session
from common.settings import GrinSettings

# Seconds of each storm of processes; a slow rate is watched for twice as long.
SECONDS = float(os.environ.get("GRIN_RATE_SECONDS", "2.5"))
_TIMESTAMPS = 35  # SO_TIMESTAMPNS


class Arrivals:
    """An HTTP server that notes when each request reached this machine: by the kernel's clock, however busy we are."""

    def __init__(self) -> None:
        self.stamps: list[float] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        # What is accepted inherits it, so that no request comes before it.
        self._listener.setsockopt(socket.SOL_SOCKET, _TIMESTAMPS, 1)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []

    def start(self) -> None:
        """Begin to answer; what has been forked before has nothing of it."""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End it."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for one in (self._listener, *self._open):
            one.close()

    def busiest(self) -> int:
        """The most requests in any second."""
        stamps = sorted(self.stamps)
        return max(sum(begin <= other < begin + 1 for other in stamps) for begin in stamps)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            asked = b""
            while (got := connection.recvmsg(65_536, 1024))[0]:
                asked += got[0]
                if asked.startswith(b"GET"):
                    self.stamps.append(_stamp(got[1]))
                elif not asked.endswith(b"refresh_token=r"):
                    continue
                body = json.dumps({"access_token": "t", "expires_in": 3600}).encode()
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                asked = b""


def _stamp(extra: list[tuple[int, int, bytes]]) -> float:
    for _, kind, data in extra:
        if kind == _TIMESTAMPS:
            seconds, nanoseconds = struct.unpack("qq", data[:16])
            return float(seconds + nanoseconds / 1e9)
    raise AssertionError("the kernel gave no stamp")


def ask_for_ever(url: str, credentials: Path, per_second: float, root: Path | None) -> None:
    """What a downloader does, or an orchestrator: one request after the other."""
    settings = GrinSettings.model_validate(
        {
            "base_url": f"{url}/libraries",
            "token_uri": f"{url}/token",
            "credentials_file": credentials,
            "requests_per_second": per_second,
        }
    )
    session = Session(settings, lambda *_: None, root)
    while True:
        with session.get("archive", f"{url}/libraries/TESTLIB/_converted") as answer:
            list(answer.chunks())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A prepared board."""
    board.prepare(tmp_path / "pipeline", [])
    return tmp_path / "pipeline"


@pytest.fixture
def storm(tmp_path: Path) -> Iterator[Callable[..., Arrivals]]:
    """Starts five processes that ask as often as they may, stops and kills some, and says what has arrived."""
    file = tmp_path / "credentials.json"
    file.write_text(json.dumps({"refresh_token": "r", "client_id": "i", "client_secret": "s"}))
    file.chmod(0o600)
    started: list[BaseProcess] = []

    def run(per_second: float, root: Path | None, seconds: float) -> Arrivals:
        arrivals = Arrivals()
        make = multiprocessing.get_context("fork").Process
        arguments = (arrivals.url, file, per_second, root)
        started.extend(make(target=ask_for_ever, args=arguments, daemon=True) for _ in range(5))
        for process in started:
            process.start()
        arrivals.start()
        _disturb([process.pid or 0 for process in started], seconds)
        for process in started:
            process.kill()
            process.join()
        arrivals.close()
        return arrivals

    yield run
    for process in started:
        process.kill()


def _disturb(pids: list[int], seconds: float) -> None:
    """One is killed and another is paused for a while, the rest go on."""
    time.sleep(seconds / 4)
    os.kill(pids[4], signal.SIGKILL)
    os.kill(pids[3], signal.SIGSTOP)
    time.sleep(seconds / 4)
    os.kill(pids[3], signal.SIGCONT)
    time.sleep(seconds / 2)


@pytest.mark.quirk("five-requests-a-second")
@pytest.mark.parametrize("per_second", [20, 5])
def test_five_processes_keep_one_rate(
    storm: Callable[..., Arrivals], root: Path, figure: Callable[[str], None], per_second: float
) -> None:
    """Paused, killed or not: in no second more than the limit arrives, and the limit is used."""
    arrivals = storm(per_second, root, SECONDS * (1 if per_second > 10 else 2))
    inside = arrivals.stamps[1:]
    span = max(inside) - min(inside)
    pace = (len(inside) - 1) / span
    figure(f"limit {per_second}: {arrivals.busiest()} in the busiest second, {pace:.1f} a second on average")
    assert arrivals.busiest() <= per_second
    # One slot was the killed one's, one the paused one's.
    assert pace + 2 / span >= 0.8 * per_second


def test_without_the_board_they_exceed_it(storm: Callable[..., Arrivals], figure: Callable[[str], None]) -> None:
    """The twin: the same processes, each with a limit of its own, ask too often; so the measure can tell."""
    arrivals = storm(5, None, 1.5)
    figure(f"limit 5 for each: {arrivals.busiest()} in the busiest second")
    assert arrivals.busiest() > 10


def slot_names(root: Path) -> list[int]:
    """The numbers of all slots, sorted; those of one length."""
    return sorted(int(path.name) for path in (root / "grin" / "slots").glob("*/*"))


def reserved(limit: RateLimit) -> float:
    """When the next slot of a limit begins, which nobody waits for."""
    return limit._reserve(0.0)[1]


def test_slow_rates(root: Path) -> None:
    """One request in two seconds, for two processes together."""
    one, other = RateLimit(0.5, root), RateLimit(0.5, root)
    starts = [reserved(limit) for limit in (one, other, one, other)]
    assert [round(b - a, 3) for a, b in pairwise(starts)] == [2.2] * 3


def test_high_rates(root: Path, figure: Callable[[str], None]) -> None:
    """A thousand a second, as tests have it, costs about what it says: the board is not in the way."""
    limit = RateLimit(1000, root)
    began = time.monotonic()
    for _ in range(300):
        limit.wait()
    took = time.monotonic() - began
    figure(f"300 turns at 1000 a second took {took:.2f} s")
    assert took < 1.5


def test_threads_of_one_process_share_it_too(root: Path) -> None:
    """Many threads, each with its turn: none is given twice."""
    limit = RateLimit(200, root)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: limit.wait(), range(100)))
    assert len(slot_names(root)) >= 100
    assert 100 * 0.0055 - 0.1 < (slot_names(root)[-1] - slot_names(root)[0]) * 0.0055 < 2


def test_slots_are_the_servers_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose own clock is hours off takes the same slots as the others."""
    monkeypatch.setattr(time, "time", lambda: 5.0)
    start = reserved(RateLimit(5, root))
    assert abs(start - durable.server_time(root)) < 0.5


def test_a_server_whose_clock_is_set(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set forward or back, the file server's clock is followed at the next look, and nobody waits for an hour."""
    true = durable.server_time
    limit = RateLimit(5, root)
    reserved(limit)
    for wrong in (3600, 0, -3600):
        monkeypatch.setattr(durable, "server_time", lambda folder, wrong=wrong: true(folder) + wrong)
        assert limit._slots is not None
        limit._slots.clock._asked -= 6
        assert abs(reserved(limit) - true(root) - wrong) < 0.6


def test_what_lies_in_the_folder_stalls_nobody(root: Path) -> None:
    """Strangers, far slots, links and folders under slots' names cost their own slots and nothing else."""
    limit = RateLimit(5, root)
    first = reserved(limit)
    folder = next((root / "grin" / "slots").iterdir())
    number = slot_names(root)[0]
    (folder / f"{number + 1}").symlink_to("/nowhere")
    (folder / f"{number + 2}").mkdir()
    os.mkfifo(folder / f"{number + 3}")
    for name in ("readme", "9" * 18, "-1", "0", f"{number + 10**6}"):
        (folder / name).touch()
    for name in ("old", "9" * 18, "0"):
        (folder.parent / name).mkdir()
    assert round(reserved(limit) - first, 3) == round(4 * 0.22, 3)


def test_other_lengths_are_respected(root: Path) -> None:
    """While processes with an older configuration work on, both together keep to the higher rate."""
    limits = [RateLimit(per_second, root) for per_second in (50, 50, 20)]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda limit: [reserved(limit) for _ in range(12)], limits))
    starts = sorted(start for part in found for start in part)
    assert len(starts) == 36
    assert min(b - a for a, b in pairwise(starts)) > 0.0219
    slow = found[2]
    assert all(abs(a - b) > 0.0549 for a in slow for b in starts if a != b)


def test_who_comes_late_takes_another_slot(root: Path) -> None:
    """A process that was busy or paused until its slot had passed sends in a later one."""
    waits = iter([0.4])
    limit = RateLimit(20, root)
    limit.turn(lambda: time.sleep(next(waits, 0)))
    assert abs(durable.server_time(root) - slot_names(root)[-1] * 0.055) < 0.07
    assert len(slot_names(root)) >= 2


def test_old_slots_are_swept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is well past goes, of former rates too; what is not yet past stays."""
    monkeypatch.setattr(rates, "_SWEEP_EVERY", 0.0)
    limit = RateLimit(5, root)
    start = reserved(limit)
    folder = next((root / "grin" / "slots").iterdir())
    past = folder.parent / "1000000" / "1000"
    past.parent.mkdir()
    old = [folder / str(round((start - age) / 0.22)) for age in (11, 500)]
    for path in (past, *old):
        path.touch()
    (folder / str(round((start - 5) / 0.22))).touch()
    reserved(limit)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert len(slot_names(root)) == 3


@pytest.mark.parametrize("there", [False, True])
def test_nothing_is_made_before_the_board(tmp_path: Path, there: bool) -> None:
    """Without a board, or before it is prepared, a process keeps its own rate and leaves no trace; then it joins."""
    root = tmp_path / "pipeline"
    if there:
        root.mkdir()
    limit = RateLimit(50, root)
    began = time.monotonic()
    limit.wait()
    limit.wait()
    assert time.monotonic() - began >= 0.022
    assert [*tmp_path.rglob("*")] == ([root] if there else [])
    board.prepare(root, [])
    limit.wait()
    assert len(slot_names(root)) == 1


def test_a_board_that_cannot_be_written_to(root: Path) -> None:
    """No request is sent that nobody can count; the stage halts with what to do."""
    (root / "grin").write_text("in the way")
    with pytest.raises(Halt, match="cannot be kept on the board") as caught:
        RateLimit(5, root).wait()
    assert "disk" in caught.value.cure


def test_a_board_that_has_gone(root: Path, tmp_path: Path) -> None:
    """Where the board's mount has gone nothing is made in its place."""
    limit = RateLimit(50, root)
    limit.wait()
    root.rename(tmp_path / "elsewhere")
    with pytest.raises(Halt):
        limit.wait()
    assert not root.exists()
