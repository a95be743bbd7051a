"""The board that the commands are tried on: delivered books, a poisoned one, and books in every other state."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from common import audit, board
from common.heartbeat import Heartbeat
from common.ledger import Ledger
from tests import warm
from tests.e2e.conftest import Grin, Pipeline

HOP = """
from common.stage import Stage

class Hop(Stage):
    def process(self, book, work):
        (work / "page").write_text(book.barcode)
"""
REASON = "gpg cannot open the archive: it was encrypted with another passphrase."
CURE = "Put the right passphrase into secrets/gpg/passphrase.asc, then `grin-pipeline retry`."


class Town(Pipeline):
    """The whole line before a simulated GRIN; some books have gone their way, others are put where one likes."""

    def __init__(self, folder: Path, grin: Grin) -> None:
        super().__init__(folder, grin, all_books="all_books.txt", reap_after=3600)
        self.ledger = Ledger(self.root / "ledger")

    def ask(self, *command: str, text: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a command of one or more words on this board; `{folder}` is the board's folder."""
        words = [word.replace("{folder}", str(self.folder)) for word in command]
        at = 2 if words[0] in ("auth", "inventory") else 1
        whole = [*words[:at], "--config", str(self.config), *words[at:]]
        return warm.run(whole, {**self.environ, **environ}, text, self.folder)

    def lines(self, *command: str) -> list[dict[str, Any]]:
        """What a command with --json says."""
        return [json.loads(line) for line in self.ask(*command, "--json").stdout.splitlines()]

    def put(self, barcode: str, number: int = 1, state: str = "waiting", by: str = "", **told: Any) -> None:
        """A seeded book, its token moved to a state of bucket `number`, with an event that tells of it."""
        bucket = self.bucket(number)
        assert board.Seeder(self.root, self.ledger, "s").seed(barcode, bucket, "", "")
        path = board.path_of(bucket, barcode, board.WAITING)
        if told:
            event = {"working": "attempt", "waiting": "done"}.get(state, state)
            self.ledger.append(barcode, event, stage=self.filters[number]["name"], **told)
        name = f"{barcode}~{by}.1.json" if state == "working" else f"{barcode}.json"
        if state != "waiting":
            path.rename(bucket / state / name)

    def worker(self, stage: str, name: str, **facts: object) -> None:
        """A worker that seems to live."""
        Heartbeat(self.root / "workers", name, stage=stage).announce(**facts)

    def tokens_of_done(self) -> list[str]:
        """The books that have arrived."""
        return [path.stem for path in self.bucket(5).glob("*.json")]

    def furnish(self) -> None:
        """Books in every state; workers, one of which holds a book; a stage that is halted, one paused, one limited."""
        for stage in ("decryptor", "extractor"):
            self.put(f"WAITING-{stage}", 1, attempt=1, seconds=1.5)
        self.put("FAILED-1", 1, "failed", reason=REASON, cure=CURE, attempt=3, seconds=1.2)
        self.put("FAILED-2", 1, "failed", reason=REASON, cure=CURE, attempt=3)
        self.put("DEFERRED", 2, "deferred", reason="GRIN says 503.", cure="It is tried again by itself.")
        self.put("HELD", 2, "held", by_="anna", why="wrong edition")
        self.put("DROPPED", 2)
        self.ask("drop", "DROPPED", "--why", "not ours").check_returncode()
        self.worker("decryptor", "decryptor-here-1-ab12", halted="No passphrase.", cure="Put it there.")
        self.worker("extractor", "extractor-here-2-cd34")
        self.put("WORKING", 2, "working", by="extractor-here-2-cd34", attempt=1, worker="extractor-here-2-cd34")
        self.worker("modifier", "modifier-here-3-ef56", limited="04_modified holds 4 books, its limit")
        audit.pause(self.root, "uploader", "anna@here", "the store is being moved")
        (self.bucket(1) / "stranger.txt").write_text("no token")


def made(folder: Path, grin: Grin) -> Town:
    """That board: GRIN's books have been delivered, or have failed, by real stages."""
    town = Town(folder, grin)
    code = town.drain("--from", "converted", "--limit", "1")
    assert code in (0, 1), town.log()
    town.ask("inventory", "refresh").check_returncode()
    town.furnish()
    return town
