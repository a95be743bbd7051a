"""What people do by hand: who they are, the lines they leave, their pauses; and why a token is where it is.

A line a command goes to `logs/operators.jsonl`, a line a book to its ledger; both say by whom, and why if told.
"""

from __future__ import annotations

import json
import os
import pwd
import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from common import board, durable
from common.heartbeat import peek
from common.json_line import encodable, json_line
from common.ledger import Event, now

_MAX_PAUSE = 64 * 1024
# The events that may be why a token lies in a state. What ends a reason stands there too, and gives none.
_WHY = {
    board.WAITING: ("redo", "halted", "done", "deferred", "failed", "retried", "released", "renewed", "reseeded"),
    board.DEFERRED: ("failed", "deferred", "halted", "redo"),
    board.FAILED: ("failed", "deferred", "halted", "redo"),
    board.HELD: ("held", "failed"),
    board.DROPPED: ("dropped",),
}
# What a command that could not move a book had announced; other lines `unchanged` name the event themselves.
_EVENTS = {"retry": "retried", "hold": "held", "release": "released", "drop": "dropped"}
_PAST = {"held": "Held", "dropped": "Dropped"}


def who() -> str:
    """The person at the keyboard, as user@host."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        # A container's user need not have a name.
        user = str(os.getuid())
    if os.getuid() == 0:
        user = os.environ.get("SUDO_USER") or user
    return f"{user}@{socket.gethostname()}"


def record(root: Path, command: str, **members: object) -> None:
    """Add a line to the operators' log, durable when this returns. Each line is one appending write."""
    members = {key: value for key, value in members.items() if value not in (None, "")}
    line = json_line({"time": now(), "command": command, **members})
    durable.make_dirs(root / "logs")
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    fd = os.open(root / "logs" / "operators.jsonl", flags, 0o644)
    try:
        durable.write_all(fd, line.encode() + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)


def reason(events: Sequence[Event], state: str) -> tuple[str, str]:
    """Why a token lies in this state, and what a person can do: as `ls` shows it and `--reason` looks for it."""
    kinds = _WHY.get(state, ())
    why = next((event for event in _happened(events) if event["event"] in kinds and "late" not in event), {})
    kind = why.get("event")
    if state == board.WAITING and kind not in ("redo", "halted"):
        return "", ""
    if kind not in _PAST:
        return str(why.get("reason", "")), str(why.get("cure", ""))
    by = f" by {why['by']}" if why.get("by") else ""
    told = f": {why['why']}" if why.get("why") else "."
    return f"{_PAST[kind]}{by}{told}", "`grin-pipeline release` lets it go on."


def _happened(events: Sequence[Event]) -> Iterator[Event]:
    """The newest first, without the moves that somebody announced and did not make, which a line `unchanged` says.

    Before it gives up, a command may have announced its move anew from each place to which the token had gone on.
    """
    unmade, places = Counter[tuple[str, str]](), Counter[tuple[str, ...]]()
    for event in reversed(events):
        by, kind = str(event.get("by")), event["event"]
        if kind == "unchanged":
            command = str(event.get("command"))
            unmade[by, _EVENTS.get(command, command)] += 1
            continue
        place = (by, kind, str(event.get("bucket")), str(event.get("from")))
        if places[place] < unmade[by, kind]:
            places[place] += 1
            continue
        yield event


# --- pauses ---------------------------------------------------------------------------------------------------------


def pause(root: Path, stage: str, by: str, why: str) -> bool:
    """Pause a stage, durably; False when it was paused already, which stays as it is."""
    if paused(root, stage) is not None:
        return False
    durable.make_dirs(root / "paused")
    facts = {"since": now(), "by": by} | ({"why": why} if why else {})
    line = json_line(facts).encode() + b"\n"
    try:
        durable.write_file(root / "paused" / stage, line)
    except OSError as error:
        if error.errno not in durable.FULL:
            raise
        # On a full disk a pause is what one wants: an empty file will do.
        (root / "paused" / stage).touch()
    return True


def resume(root: Path, stage: str) -> bool:
    """End a stage's pause; False when it was not paused."""
    try:
        (root / "paused" / stage).unlink()
    except FileNotFoundError:
        return False
    except IsADirectoryError:
        # A pause that somebody has made with mkdir is a pause all the same.
        (root / "paused" / stage).rmdir()
    durable.fsync_dir(root / "paused")
    return True


def paused(root: Path, stage: str) -> Mapping[str, Any] | None:
    """Since when, by whom and why a stage is paused; empty when its file was made by hand, None when it is not."""
    path = root / "paused" / stage
    if not path.exists():
        return None
    try:
        # Never through a link: what it leads to is shown to whoever looks at the board.
        facts = json.loads(peek(path, _MAX_PAUSE)[1])
    except (OSError, ValueError, RecursionError):
        return {}
    told = facts if isinstance(facts, dict) else {}
    return {name: encodable(told[name]) for name in ("since", "by", "why") if isinstance(told.get(name), str)}


def pause_sentence(stage: str, facts: Mapping[str, Any]) -> str:
    """What a person should know of a pause."""
    since = f" since {str(facts['since'])[:19]}Z" if facts.get("since") else ""
    by = f" by {facts['by']}" if facts.get("by") else ""
    why = f": {str(facts['why']).rstrip('.')}" if facts.get("why") else ""
    return f"{stage} is paused{since}{by}{why}. `grin-pipeline resume {stage}` lets it go on."
