"""`--json` is what docs/reference/json.md says, on a board with books in every state; and it stays so."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.cli.boards import CURE, REASON, Town
from tests.cli.commands import leaves, option_of
from tests.cli.contract import found, missing, promised
from tests.helpers import Line

PROMISED = promised()
# What is typed for each table; the answers are looked at together.
TYPED = {
    "status": ("status",),
    "ls": ("ls", "ls 05_uploaded", "ls --state held"),
    "failed": ("failed", "failed --state deferred"),
    "failed --by reason": ("failed --by reason", "failed --by reason --state deferred --state held"),
    "failed --by stage": ("failed --by stage",),
    "show": ("show FAILED-1", "show WORKING", "show DROPPED", "show HELD", "show {done}"),
    "shape": ("shape", "shape --state held"),
    "workers": ("workers",),
    "report": ("report",),
    "retry": ("retry FAILED-1 NOBODY --dry-run",),
    "hold": ("hold WORKING HELD --dry-run",),
    "release": ("release HELD DROPPED --dry-run",),
    "drop": ("drop FAILED-1 --dry-run",),
    "audit": ("audit --no-grin", "audit --no-grin LOST"),
    "auth status": ("auth status",),
    "auth probe": ("auth probe",),
    "inventory show": ("inventory show", "inventory show --offline"),
    "inventory show --list NAME": ("inventory show --list converted",),
    "convert": ("convert --dry-run", "convert --dry-run --fill-queue"),
    "doctor": ("doctor --brief --offline",),
    "down": ("down --dry-run",),
    "clean": ("clean --dry-run",),
    "export": ("export --no-doctor --output {folder}/e.tar.gz",),
}
# Of a board of their own.
SMALL = ("try",)
GOLDEN = Path(__file__).parent / "members.txt"


@pytest.fixture(scope="module")
def furnished(town: Town) -> Town:
    """The town, with what a running orchestrator tells, something left over, and a book that was lost."""
    flow = {"books_per_hour": 9.0, "bytes_per_hour": 8.0, "books_per_hour_day": None, "bytes_per_hour_day": None}
    lists = {"lists": {"available": 3, "in_process": 2, "converted": 1, "failed": 0}, "new_versions": 1}
    town.worker("orchestrator", "orchestrator-here-9-zz99", flow={"decryptor": flow}, grin=lists)
    town.worker("orchestrator", "orchestrator-there-8-yy88", host="there")
    left = town.folder / "processing" / "DROPPED" / "decryptor"
    left.mkdir(parents=True)
    (left / "page").write_text("half")
    town.put("LOST", 3, reason=REASON, cure=CURE)
    (town.bucket(3) / "LOST.json").unlink()
    return town


def test_every_command_with_json_is_promised() -> None:
    """Each command that has --json has its table here, and no table is of a command that has not."""
    have = {words for words in leaves() if option_of(words, "--json")}
    assert {name.partition(" --")[0] for name in PROMISED} == have
    assert {*TYPED, *SMALL} == set(PROMISED)


@pytest.mark.parametrize("name", TYPED)
def test_the_answer_is_what_was_promised(name: str, furnished: Town) -> None:
    """Lines of JSON; each member is in the table with this type, and each of the table's is there."""
    done = next(iter(furnished.tokens_of_done()))
    answers = []
    for typed in TYPED[name]:
        line = typed.replace("{done}", done)
        told = furnished.ask(*shlex.split(line), "--json")
        assert told.returncode in (0, 1), told.stderr
        answers += [json.loads(one) for one in told.stdout.splitlines()]
    assert answers
    _kept(name, answers)


def test_the_answer_of_try(small: Line, tmp_path: Path) -> None:
    """One object, with the members of the table."""
    (tmp_path / "B1").mkdir()
    told = small.ask("try", "hop", "--input", str(tmp_path / "B1"), "--json")
    _kept("try", [json.loads(told.stdout)])


def _kept(name: str, answers: list[object]) -> None:
    members, seen = PROMISED[name], set()
    for answer in answers:
        for path, value in found(answer, members):
            assert path in members, f"{path} is not in docs/reference/json.md"
            assert members[path].fits(value), f"{path} is {value!r}, and should be {members[path].type}"
            seen.add(path)
        assert list(missing(answer, members)) == []
    never = {path for path, member in members.items() if path not in seen and not member.optional}
    assert never == set(), "promised, and never seen"


def test_members_only_ever_come() -> None:
    """None that was there is gone or has another type: scripts read them. A new one gets its line in members.txt."""
    now = {f"{name}: {path} {one.type}" for name, members in PROMISED.items() for path, one in members.items()}
    before = set(GOLDEN.read_text().splitlines())
    assert before - now == set(), "These were promised once, and scripts read them."
    assert now - before == set(), "Add these to members.txt, so that they stay."
