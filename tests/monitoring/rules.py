"""The rules as they are written, and the same with one thing changed in each."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

MONITORING = Path(__file__).parents[2] / "monitoring"
RULE_FILES = sorted((MONITORING / "rules").glob("*.yml"))
GROUPS = {path: yaml.safe_load(path.read_text())["groups"] for path in RULE_FILES}
Rule = dict[str, Any]


def rules(kind: str) -> list[Rule]:
    """All alerts (`alert`), or all recording rules (`record`)."""
    return [rule for groups in GROUPS.values() for group in groups for rule in group["rules"] if kind in rule]


def unit_tests(alert: str) -> list[dict[str, Any]]:
    """What promtool is given to try an alert."""
    return list(yaml.safe_load((MONITORING / "tests" / f"{alert}.yml").read_text())["tests"])


def told(promtool: str, *arguments: str | Path) -> tuple[int, str]:
    """The exit code of promtool, and what it says."""
    command = [promtool, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def mutants(rule: Rule) -> Iterator[tuple[str, Rule]]:
    """An alert with one thing wrong: another threshold, a clause less, more patience or none."""
    expression = rule["expr"].strip()
    for found in re.finditer(r"(>|<|==) ([\d.]+)", expression):
        for word, figure in _other_thresholds(found[1], float(found[2])):
            changed = expression[: found.start()] + f"{found[1]} {figure:g}" + expression[found.end() :]
            yield f"{found[0]} {word}", rule | {"expr": changed}
    lines = expression.splitlines()
    for number, line in enumerate(lines):
        if line.startswith(("and ", "unless ")):
            yield f"without: {line}", rule | {"expr": "\n".join(lines[:number] + lines[number + 1 :])}
    for found in re.finditer(r"\[\d+[mh]\]", expression):
        changed = expression[: found.start()] + "[2m]" + expression[found.end() :]
        yield f"{found[0]} as [2m]", rule | {"expr": changed}
    yield "at once", rule | {"for": "0s"}
    yield "a thousand times later", rule | {"for": f"{int(rule['for'].removesuffix('m')) * 1000}m"}


def _other_thresholds(operator: str, figure: float) -> list[tuple[str, float]]:
    """One that is never crossed, one that always is; and of equality, the opposite."""
    if operator == "==":
        return [("turned round", 1 - figure)]
    never, always = (1e15, -1e15) if operator == ">" else (-1e15, 1e15)
    return [("never", never), ("always", always)]


def copy_with(folder: Path, rule: Rule) -> Path:
    """One alert as `rule` has it, and what is recorded for it, in another folder; the file of its tests there.

    promtool works out every rule that it reads, at every step of every test: what is not asked for costs time.
    """
    for name in ("tests", "rules"):
        (folder / name).mkdir()
    wanted = _recorded_for(rule["expr"])
    for path, groups in GROUPS.items():
        kept = [
            group | {"rules": [rule if "alert" in old else old for old in group["rules"] if _is_one(old, rule, wanted)]}
            for group in groups
        ]
        (folder / "rules" / path.name).write_text(yaml.safe_dump({"groups": kept}, sort_keys=False))
    return Path(shutil.copy(MONITORING / "tests" / f"{rule['alert']}.yml", folder / "tests"))


def _is_one(old: Rule, rule: Rule, wanted: set[str]) -> bool:
    return old["alert"] == rule["alert"] if "alert" in old else old["record"] in wanted


def _recorded_for(expression: str) -> set[str]:
    """The names of what is recorded for an expression, and for that again."""
    recorded = [rule for rule in rules("record") if rule["record"] in re.findall(r"[a-z_:]+", expression)]
    return {rule["record"] for rule in recorded}.union(*(_recorded_for(rule["expr"]) for rule in recorded))
