"""`doctor`: tries out whether the board's promises hold on the file system it is on, and whether the stages can start.

Also whether GRIN lets us in, whether the passphrase opens what is here, and whether the done bucket takes a book.
Safe while everything runs: it works in a folder of its own, and puts nothing into the buckets but a file whose name no
token can have; into the done bucket, a hidden object or file. It leaves nothing behind.
"""

from __future__ import annotations

import errno
import os
import re
import signal
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from types import FrameType

from rich.console import Console
from rich.text import Text

from common import durable
from common import run as stage_run
from common.config import Settings
from common.errors import ConfigError, ourselves
from common.json_line import json_line
from services.orchestrator import probes
from services.orchestrator.findings import MUST, OK, WARNING, Finding
from services.orchestrator.mounts import judge, mount_of
from services.orchestrator.probe_gpg import passphrase
from services.orchestrator.probe_login import credentials, login
from services.orchestrator.probe_site import Site, opened
from services.orchestrator.probe_store import done_bucket
from services.orchestrator.probe_versions import versions
from services.orchestrator.render import of_a_command, plain

# How many tokens two processes race for.
CLAIMS = 10_000
_SIGNS = {OK: ("✓", "green"), WARNING: ("!", "yellow"), MUST: ("✗", "red")}
# What --offline leaves out.
GRIN = "GRIN"
_AGAIN = "Mend that, then let the doctor look again."
_REFUSED = "See that the disk is whole, has space and may be written to; a network one may be mounted in another way."
_SPACE = {"space for books", "space for the board", "inodes"}
_FULL = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT))
# What takes long; GRIN is asked by nobody who waits to start.
_LONG = frozenset({"other machines", "claims", "new names", GRIN})
# What stages say in their own words of what is told above, by its name there.
_SAME = {
    "GRIN login": re.compile(r"global\.library is not set: "),
    "done bucket": re.compile(r"The done bucket .+ cannot be written: "),
    "passphrase": re.compile(r"The passphrase has more than one line: "),
    "gpg": re.compile(r"gpg is not installed, "),
}
_Probe = Callable[[Site], Iterator[Finding]]
Skipped = Collection[str]


def run(
    settings: Settings, console: Console, as_json: bool, *, store: bool = True, stages: bool = True, skip: Skipped = ()
) -> int:
    """Examine everything and say it; 0 when all that must hold does, else 3. Without `store` and `stages`: the disk."""
    findings = []
    examined = examine(settings, CLAIMS, store=store, stages=stages, skip=skip)
    if set(skip) >= _LONG:
        examined = _whatever_space(examined)
    with _ended_by_sigterm(), closing(examined) as found:
        for finding in found:
            findings.append(finding)
            if not as_json:
                _show(finding, console)
    fine = all(finding.level != MUST for finding in findings)
    if as_json:
        facts = {"findings": [finding.as_dict() for finding in findings], "ok": fine}
        console.print(Text(json_line(facts)), soft_wrap=True)
    return 0 if fine else 3


def before_start(settings: Settings, *, brief: bool = False) -> Skipped:
    """What is left out where everything waits for this doctor: what takes long, if `brief` or once there is a board."""
    # Workers that have just died look like a file server that shows no heartbeats, for as long as they are waited for.
    return _LONG if brief or settings.global_.pipeline_dir.is_dir() else {"other machines"}


def _whatever_space(found: Generator[Finding, None, None]) -> Generator[Finding, None, None]:
    """Too little space is no reason to stop whoever starts on a board: what they finish makes some, else they wait."""
    with closing(found):
        for one in found:
            lacks = one.name in _SPACE or any(text in one.sentence for text in _FULL)
            yield replace(one, level=WARNING) if lacks and one.level == MUST else one


def examine(
    settings: Settings, claims: int, *, store: bool = True, stages: bool = True, skip: Skipped = ()
) -> Generator[Finding, None, None]:
    """All findings, one after the other as they are made."""
    with closing(_examined(settings, claims, store=store, stages=stages, skip=skip)) as found:
        for one in found:
            yield replace(one, sentence=of_a_command(one.sentence), cure=of_a_command(one.cure))


def _examined(
    settings: Settings, claims: int, *, store: bool, stages: bool, skip: Skipped
) -> Generator[Finding, None, None]:
    yield from _file_systems(settings)
    yield from _probed(settings, claims, skip)
    said: list[Finding] = []
    for look in _looks(store=store, stages=stages, skip=skip):
        for one in look(settings):
            said.append(one)
            yield one
    if stages:
        yield from _stages(settings, said)
    yield from versions(settings, gpg=stages)


def _looks(*, store: bool, stages: bool, skip: Skipped) -> Iterator[Callable[[Settings], Iterator[Finding]]]:
    """What is looked at besides the disk: each may be what keeps a stage from starting."""
    if store:
        yield done_bucket
        yield from [_signed_in] if GRIN not in skip else [credentials] if stages else []
    if stages:
        yield passphrase


def _signed_in(settings: Settings) -> Iterator[Finding]:
    """The file first: with a bad one GRIN cannot be asked."""
    found = [*credentials(settings)]
    yield from found
    if all(one.level == OK for one in found):
        yield from login(settings)


def _file_systems(settings: Settings) -> Iterator[Finding]:
    common = settings.global_
    board, books = mount_of(common.pipeline_dir), mount_of(common.processing_bucket)
    yield judge("pipeline_dir", board)
    if books.id != board.id:
        yield judge("processing_bucket", books)


def _probed(settings: Settings, claims: int, skip: Skipped = ()) -> Iterator[Finding]:
    looks: dict[str, _Probe] = {
        "one mount": probes.one_mount,
        "space": probes.space,
        "rights": probes.rights,
        "renames": probes.renames,
        "hard links": probes.links,
        "letter case": probes.names,
        "times": probes.times,
        "fsync": probes.syncs,
        "new names": probes.sight,
        "other machines": probes.machines,
        "claims": lambda place: probes.claims(place, claims),
    }
    try:
        with opened(settings) as place:
            for name, look in looks.items():
                if name not in skip:
                    yield from _guarded(name, look, place)
    except PermissionError:
        yield _somebody_elses(settings)
    except OSError as error:
        yield Finding("probes", MUST, f"Nothing can be tried out: {error}.", _REFUSED)


def _somebody_elses(settings: Settings) -> Finding:
    home = durable.existing_ancestor(settings.global_.pipeline_dir)
    figures = home.stat()
    whose = f"{home} belongs to user {figures.st_uid}, group {figures.st_gid}, mode {figures.st_mode & 0o7777:o}"
    text = f"Nothing can be tried out: {whose}, and {ourselves()} may not write there."
    cure = f"Give it to them once (chown {os.geteuid()}:{os.getegid()} {home}); in Kubernetes the pod's fsGroup does so"
    return Finding("probes", MUST, text, f"{cure}, where the volume's driver heeds it: NFS often does not.")


def _guarded(name: str, look: _Probe, place: Site) -> Iterator[Finding]:
    """A probe's findings; one that fails is a finding itself."""
    found: list[Finding] = []
    try:
        found.extend(look(place))
    except OSError as error:
        found.append(Finding(name, MUST, f"It was refused: {error}.", _REFUSED))
    # "All is well" only where nothing else was to be said under that name.
    bad = {finding.name for finding in found if finding.level != OK}
    yield from (finding for finding in found if finding.level != OK or finding.name not in bad)


def _stages(settings: Settings, before: Iterable[Finding] = ()) -> Iterator[Finding]:
    """What keeps each from starting; what was said before is not said once more."""
    bad = [one for one in before if one.level == MUST]
    for row in settings.filters:
        try:
            problems = stage_run.problems_of(stage_run.make_stage(settings, row))
        except ConfigError as error:
            problems = error.problems
        for problem in problems:
            sentence = problem.removeprefix(f"Stage {row.name}: ")
            named = next((one.name for one in bad if _is_same(sentence, one)), None)
            text = f"It cannot start: see {named}, above." if named else sentence
            yield Finding(f"stage {row.name}", MUST, text, "" if named else _AGAIN)
        if not problems:
            yield Finding(f"stage {row.name}", OK, "It can start.")


def _is_same(sentence: str, known: Finding) -> bool:
    words = _SAME.get(known.name)
    return sentence.startswith(known.sentence) or bool(words and words.match(sentence))


def _show(finding: Finding, console: Console) -> None:
    sign, style = _SIGNS[finding.level]
    line = plain(f"{sign} {finding.name:<20} {finding.sentence}")
    console.print(Text(line, style="" if finding.level == OK else style), soft_wrap=True)
    if finding.cure:
        console.print(Text(plain(f"    {finding.cure}")), soft_wrap=True)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end this command as Ctrl-C does: with everything removed."""

    def end(_number: int, _frame: FrameType | None) -> None:
        # Once is enough: a second one would come into the removing.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
