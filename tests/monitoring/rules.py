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
Rule = dict[str, Any]


def rules(kind: str) -> list[Rule]:
    """All alerts (`alert`), or all recording rules (`record`)."""
    groups = [group for path in RULE_FILES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


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
    """All rules in another folder, one alert exchanged for `rule`; the file of that alert's tests there."""
    for name in ("tests", "rules"):
        (folder / name).mkdir()
    for path in RULE_FILES:
        whole = yaml.safe_load(path.read_text())
        for group in whole["groups"]:
            group["rules"] = [rule if old.get("alert") == rule["alert"] else old for old in group["rules"]]
        (folder / "rules" / path.name).write_text(yaml.safe_dump(whole, sort_keys=False))
    return Path(shutil.copy(MONITORING / "tests" / f"{rule['alert']}.yml", folder / "tests"))
