"""Runs all stages as processes on this machine: starts them, restarts those that die, drains them."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from common.config import FilterRow, Settings
from common.heartbeat import worker_name
from common.process import end_group
from common.reaper import Reaper

# A worker that dies is started again after this many seconds, doubling up to the second figure.
_AGAIN, _AGAIN_MOST = 0.2, 5.0
# One that has lived for so long, in seconds, starts with a clean slate.
_SETTLED = 2.0


@dataclass
class Slot:
    """A place for one worker: whoever is in it now, and how its predecessors fared."""

    row: FilterRow
    port: int
    process: subprocess.Popen[bytes] | None = None
    worker: str = ""
    deaths: int = 0
    said_from: int = 0
    """Where in the stage's .stderr file this worker's own words begin."""
    started: float = 0.0
    start_at: float = field(default_factory=time.monotonic)


class Supervisor:
    """The slots of all stages. `turn` is called every now and then; nothing here blocks."""

    def __init__(self, settings: Settings, secrets: dict[str, str], reaper: Reaper, log: logging.Logger) -> None:
        self.settings = settings
        self.secrets = secrets
        self.reaper = reaper
        self.log = log
        ports = free_ports(settings.board.metrics_port)
        self.slots = [Slot(row, next(ports, 0)) for row in settings.filters for _ in range(row.workers)]
        self.stopping = False

    def turn(self) -> None:
        """Start what is due, notice what has died."""
        for slot in self.slots:
            if slot.process is not None and slot.process.poll() is not None:
                self._buried(slot, slot.process.returncode)
            if slot.process is None and not self.stopping and time.monotonic() >= slot.start_at:
                self._start(slot)

    def stop(self) -> None:
        """Ask every worker to drain; asked again, to hand its book back at once."""
        self.stopping = True
        for slot in self.slots:
            if slot.process is not None and slot.process.poll() is None:
                slot.process.send_signal(signal.SIGTERM)

    def running(self) -> int:
        """How many workers are alive."""
        return sum(slot.process is not None and slot.process.poll() is None for slot in self.slots)

    def kill(self) -> None:
        """End what is left; claims are returned."""
        for slot in self.slots:
            if slot.process is not None and slot.process.poll() is None:
                slot.process.kill()
                slot.process.wait()
        self.turn()

    def _start(self, slot: Slot) -> None:
        slot.worker = worker_name(slot.row.name)
        with self._open_stderr(slot) as stderr:
            slot.said_from = stderr.tell()
            slot.process = subprocess.Popen(
                self._command(slot),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
        slot.started = time.monotonic()
        self._hand_secrets(slot.process)

    def _stderr(self, slot: Slot) -> Path:
        return self.settings.global_.pipeline_dir / "logs" / f"{slot.row.name}.stderr"

    def _open_stderr(self, slot: Slot) -> BinaryIO:
        try:
            return self._stderr(slot).open("ab")
        except OSError as error:
            # A full disk must not keep the stages that would empty it from starting.
            self.log.warning(f"What {slot.row.name} says on standard error is not kept: {error}.")
            return Path(os.devnull).open("ab")

    def _command(self, slot: Slot) -> list[str]:
        # -P: a folder called "common" where the user happens to be must not stand in for ours.
        module = [sys.executable, "-P", "-m", "common.run", slot.row.name, "--supervised", "--worker", slot.worker]
        return [*module, "--config", str(self.settings.path), "--metrics", f"127.0.0.1:{slot.port}"]

    def _hand_secrets(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(self.secrets).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            self.log.warning("A worker died before it had read anything.")

    def _buried(self, slot: Slot, code: int) -> None:
        if slot.process is not None and slot.process.stdin is not None:
            slot.process.stdin.close()
            # Each worker leads a group: what it had started must not outlive it.
            end_group(slot.process.pid)
        slot.process = None
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        returned = self.reaper.reap_worker(slot.worker, f"worker {slot.worker} {how}")
        if self.stopping:
            return
        slot.deaths = 0 if time.monotonic() - slot.started > _SETTLED else slot.deaths + 1
        wait = min(_AGAIN_MOST, _AGAIN * 2 ** min(slot.deaths, 10))
        slot.start_at = time.monotonic() + wait
        said = _last_words(self._stderr(slot), slot.said_from) if code > 0 else ""
        now = f"{returned} of its books wait again, the next worker starts in {wait:g} s"
        self.log.warning(f"A worker of {slot.row.name} {how}; {now}.{said}")


def free_ports(first: int) -> Iterator[int]:
    """Ports on the loopback that nobody listens on, from `first` upwards."""
    return (port for port in range(first, 65536) if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _last_words(path: Path, start: int) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(start, file.seek(0, os.SEEK_END) - 4096))
        lines = file.read().decode(errors="replace").splitlines()
    return f" It said: {lines[-1]}" if lines else ""
