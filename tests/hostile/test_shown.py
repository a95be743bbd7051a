"""Hostile words on the board: shown in one line each, never obeyed by a terminal, never the end of valid JSON."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import pty
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from common import audit, board, logs
from common.heartbeat import Heartbeat
from common.ledger import Ledger
from services.orchestrator import progress, terminal
from services.orchestrator.cli import main
from services.orchestrator.view import View
from tests.operators import Bench
from tests.terminals import sent

# A window's title, a cleared screen, an 8-bit CSI, text turned around, a script, markup, lines, half a character.
EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31mred \u202eevil\u2066 <script>alert(1)</script> [red]a[/] one\r\ntwo\x00 "
EVIL += "\ud800 \u2028end"
LONG = "x" * 10_000
# What a terminal is told by us: colours, and the live table's cursor.
_OURS = re.compile(r"\x1b\[[0-9;]*[mAK]|\x1b\[\?25[lh]|\r(?=\n|\x1b)")
READ = {
    "status": ("status",),
    "ls": ("ls",),
    "show": ("show", "B1"),
    "show long": ("show", "LONG"),
    "failed": ("failed",),
    "causes": ("failed", "--by", "reason"),
    "stages": ("failed", "--by", "stage"),
    "shape": ("shape",),
    "workers": ("workers",),
    "report": ("report",),
    "audit": ("audit", "--no-grin"),
    "down": ("down", "--dry-run"),
    "clean": ("clean", "--dry-run"),
    "doctor": ("doctor", "--no-stages", "--brief"),
    "retry": ("retry", "B1", "--dry-run"),
    "drain": ("drain", "--dry-run"),
    "audit asked": ("audit", EVIL.replace("\0", "").replace("\ud800", "\udcff")),
}
# What a person is asked to read by lines: 10 kB of one thing must not bury the rest.
TABLES = ("status", "ls", "failed", "causes", "stages", "workers")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A board on which everything that somebody else may choose is hostile."""
    bench = Bench(tmp_path_factory.mktemp("hostile"))
    for name, reason in (("B1", EVIL), ("LONG", LONG)):
        bench.put(name, "failed", reason=reason)
        bench.ledger.append(name, "failed", stage="one", reason=reason, cure=reason, facts={"warnings": [reason]})
    bench.put("HELD", "held")
    bench.ledger.append("HELD", "held", by=EVIL, why=EVIL)
    bench.put("TITLED", "waiting", 2)
    record = {"title": EVIL, "author_personal": EVIL}
    bench.ledger.append("TITLED", "done", stage="one", facts={"record": record, EVIL: EVIL})
    store = {"key": EVIL, "sha256": "0" * 64, "bytes_out": 1}
    bench.ledger.append("TITLED", "done", stage="uploader", facts={"store": store, "files": [{"name": EVIL}]})
    for name in (EVIL.replace("/", "").replace("\0", "").replace("\ud800", "\udcff"), "[red]x[bold].json"):
        (bench.buckets[0] / name).write_text("no token")
    for number, facts in enumerate(
        ({"halted": EVIL, "cure": LONG}, {"limited": EVIL}, {"host": EVIL, "version": EVIL})
    ):
        stage = ("one", "two", "two")[number]
        Heartbeat(bench.root / "workers", f"{stage}-w-{number}", stage=stage).announce(
            started=EVIL, metrics=EVIL, **facts
        )
    audit.pause(bench.root, "two", EVIL, EVIL)
    audit.record(bench.root, "hold", by=EVIL, why=EVIL)
    logs.setup(bench.root / "logs", "one", EVIL, stdout=False).error("%s", EVIL, extra={"barcode": "B1", "cure": LONG})
    return bench


def on_a_terminal(bench: Bench, *command: str, **environ: str) -> tuple[int, str]:
    """What a real terminal of 80 columns is sent by a command, and how that ends."""
    child, fd = pty.fork()
    if child == 0:
        os.environ.update({"COLUMNS": "80", "LINES": "50", "TERM": "xterm", **environ})
        sys.stdout, sys.stderr = open(1, "w", encoding="utf-8"), open(2, "w", encoding="utf-8", buffering=1)  # noqa: SIM115
        os._exit(_flushed(main([command[0], "--config", str(bench.line.config), *command[1:]])))
    return sent(child, fd)


def _flushed(code: int) -> int:
    sys.stdout.flush()
    return code


def clean(said: str) -> str:
    """The text without what we tell a terminal; nothing else in it may be obeyed."""
    text = _OURS.sub("", said.replace("\r\n", "\n"))
    bad = {char for char in text if not char.isprintable() and char != "\n"}
    assert bad == set(), text[:2000]
    return text


@pytest.mark.parametrize("name", READ)
def test_a_terminal_obeys_nothing(name: str, hostile: Bench) -> None:
    """Every command that reads: only what can be printed reaches a real terminal, our colours besides."""
    code, said = on_a_terminal(hostile, *READ[name])
    text = clean(said)
    assert code in (0, 1, 2, 3)
    assert "Traceback" not in text
    if name in ("status", "ls", "show", "failed", "causes", "workers"):
        assert "\\x1b]0;owned\\x07" in text
        assert "<script>alert(1)</script> [red]a[/] one" in text
    if name in TABLES:
        assert max(map(len, text.splitlines())) < 2_500, "10 kB are shortened"


@pytest.mark.parametrize("name", [name for name in READ if name not in ("drain", "audit asked")])
def test_json_stays_json(name: str, hostile: Bench) -> None:
    """The same with --json: lines of JSON in UTF-8 that hold every character as it was, and none that steers."""
    code, said = on_a_terminal(hostile, *READ[name], "--json")
    assert code in (0, 1, 3)
    lines = [line for line in clean(said).splitlines() if line.startswith("{")]
    found = [json.loads(line) for line in lines]
    if name in ("failed", "show"):
        # A ledger has a question mark for what is no character.
        assert EVIL.replace("\ud800", "?") in str_of(found)
    if name in ("failed", "show long"):
        assert LONG in str_of(found)


def str_of(found: list[Any]) -> str:
    """All texts that were told, joined."""
    if isinstance(found, list):
        return " ".join(map(str_of, found))
    return " ".join(map(str_of, found.values())) if isinstance(found, dict) else str(found)


def test_ls_is_a_line_a_token(hostile: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    """In a pipe too: as many lines as tokens and strangers, however many lines a reason or a name has."""
    assert hostile.run("ls") == 0
    assert len(capfd.readouterr().out.splitlines()) == 5


def test_show_has_all_of_it(hostile: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    """What a list has shortened, `show` has whole."""
    assert hostile.run("show", "LONG") == 0
    assert LONG in capfd.readouterr().out


def test_a_report_for_a_machine_has_titles_as_they_are(hostile: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    """CSV in a pipe or a file keeps each character that UTF-8 has, in a row of its own."""
    hostile.run("report")
    rows = list(csv.reader(io.StringIO(capfd.readouterr().out, newline="")))
    assert len(rows) == 1 + len([row for row in rows if row[0] == "TITLED"])


def test_progress_of_up(hostile: Bench) -> None:
    """What `up` says while it runs and when it ends: sentences of workers, halts, and each failed book in short."""
    child, fd = pty.fork()
    if child == 0:
        sys.stdout = open(1, "w", encoding="utf-8")  # noqa: SIM115
        from common import config

        view = View(config.load(hostile.line.config, classes=None))
        shown = progress.Progress(terminal.console())
        shown.say(EVIL)
        shown.handler().emit(logging.makeLogRecord({"msg": EVIL}))
        shown.show(view.status())
        shown.end(view)
        shown.close()
        os._exit(_flushed(0))
    code, said = sent(child, fd)
    assert code == 0
    text = clean(said)
    assert "\\x1b]0;owned\\x07" in text
    assert LONG[:3000] not in text.replace("\n", "")


def test_logs_are_lines_of_json(hostile: Bench) -> None:
    """The operators' log and a stage's own: one line a record, in UTF-8, each character kept and none that steers."""
    for name, member in (("operators", "why"), ("one", "message")):
        lines = (hostile.root / "logs" / f"{name}.jsonl").read_bytes().decode().splitlines()
        assert [json.loads(line)[member] for line in lines] == [EVIL]
        assert all(line.isprintable() for line in lines)


def test_a_folder_with_a_hostile_name(tmp_path: Path) -> None:
    """The board's own path may be hostile as well, and no text: it is shown, and the commands work."""
    folder = tmp_path / os.fsdecode("\x1b]0;owned\x07 \u202ex [red]".encode() + b"\xff")
    folder.mkdir()
    bench = Bench(folder)
    bench.put("B1", "failed", reason="Odd.")
    for command in (("status",), ("status", "--json"), ("down", "--dry-run"), ("seed", "--barcode", "B2"), ("ls",)):
        code, said = on_a_terminal(bench, *command)
        assert (code, "Traceback" in said) == (0, False), said
        clean(said)
    assert Ledger(bench.root / "ledger").read("B2")
    assert board.path_of(bench.buckets[0], "B2", board.WAITING).exists()
