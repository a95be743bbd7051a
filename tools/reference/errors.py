"""The tree of errors, and the sentences that the code says with them, read from its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from textwrap import dedent

from common import errors
from tools.reference.pages import ROOT, code, table
from tools.reference.texts import HOLE, Scope, calls

VERDICTS = ("Retry", "Redo", "Reject", "Halt")
# Which part of the page a folder's sentences are in; the longest that fits.
_WHERE = {
    "common": "Any stage",
    "services/downloader": "Downloader",
    "common/grin": "GRIN",
    "services/decryptor": "Decryptor",
    "services/extractor": "Extractor",
    "services/modifier": "Modifier",
    "services/uploader": "Uploader",
    "common/store": "The done bucket",
    "services/orchestrator": "Commands",
}
_CONFIGURATION = "Configuration"
# With less of its own a sentence says nothing here.
_FEWEST = 12


@dataclass(frozen=True, order=True)
class Said:
    """One sentence of the code: about what, as which error, and what a person can do."""

    where: str
    kind: str
    reason: str
    cure: str


def parts() -> dict[str, str]:
    """The tree, and a table of sentences for each part of the code."""
    tree = dedent((errors.__doc__ or "").partition("\n\n")[2].partition("\n\n")[0])
    found = sorted(sentences())
    tables = [_table(where, [said for said in found if said.where == where]) for where in _WHERE.values()]
    return {"tree": f"```text\n{tree}\n```", "sentences": "\n\n".join([*tables, _table(_CONFIGURATION, found)])}


def _table(where: str, found: list[Said]) -> str:
    rows = [[code(said.kind), said.reason, said.cure] for said in found if said.where == where]
    return f"### {where}\n\n{table(['error', 'sentence', 'what to do'], rows)}"


@cache
def sentences() -> frozenset[Said]:
    """Whatever is raised or returned as one of the errors, with a text of its own."""
    return frozenset(_sentences())


def _sentences() -> Iterator[Said]:
    for path in [*sorted((ROOT / "common").rglob("*.py")), *sorted((ROOT / "services").rglob("*.py"))]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for scope, call in calls(tree, [*VERDICTS, "ConfigError"]):
            kind = call.func.id if isinstance(call.func, ast.Name) else ""
            for reason, cure in _texts(call, scope):
                if len(reason.replace(HOLE, "").strip(" .:")) >= _FEWEST:
                    told = "" if not cure.strip(f" .{HOLE}") else cure
                    yield Said(_place(path, kind), kind, reason, told)


def _place(path: Path, kind: str) -> str:
    place = path.relative_to(ROOT).as_posix()
    if kind == "ConfigError" and not place.startswith("services/orchestrator"):
        return _CONFIGURATION
    return _WHERE[max((folder for folder in _WHERE if place.startswith(f"{folder}/")), key=len)]


def _texts(call: ast.Call, scope: Scope) -> Iterator[tuple[str, str]]:
    reason, cure = _arguments(call)
    if isinstance(reason, ast.Name) and isinstance(cure, ast.Name):
        reasons, cures = scope.values(reason.id), scope.values(cure.id)
        if len(reasons) == len(cures):
            # They were chosen together.
            for one, other in zip(reasons, cures, strict=True):
                yield from product(scope.texts(one), scope.texts(other))
            return
    if reason is not None:
        yield from product(scope.texts(reason), scope.texts(cure) if cure is not None else [""])


def _arguments(call: ast.Call) -> tuple[ast.expr | None, ast.expr | None]:
    """The expressions for the reason and for the cure; of a list of problems the first, and what follows it."""
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    match call.args:
        case [ast.List(elts=[ast.Starred(), *_])]:
            return None, None
        case [ast.List(elts=[reason])] | [reason]:
            return reason, given.get("cure")
        case [ast.List(elts=[reason, cure, *_])] | [reason, cure]:
            return reason, cure
        case [ast.ListComp(elt=reason)]:
            return reason, None
    return None, None
