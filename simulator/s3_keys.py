"""`python -m simulator.s3_keys`: keys for the S3 server that uploads are tried with: for it and its clients."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

_FOLDER = Path("/run/s3")
_ENDPOINT, _REGION = "http://s3:8333", "us-east-1"
_ACTIONS = ["Admin", "Read", "Write", "List", "Tagging"]


def make(folder: Path) -> None:
    """Write both files, unless an earlier run has."""
    if (folder / "s3.json").exists():
        return
    access, secret = secrets.token_hex(10).upper(), secrets.token_urlsafe(30)
    keys = {"aws_access_key_id": access, "aws_secret_access_key": secret, "region": _REGION, "endpoint_url": _ENDPOINT}
    _write(folder / "aws", "[default]\n" + "".join(f"{name} = {value}\n" for name, value in keys.items()))
    person = {"name": "pipeline", "credentials": [{"accessKey": access, "secretKey": secret}], "actions": _ACTIONS}
    _write(folder / "s3.json", json.dumps({"identities": [person]}))


def _write(path: Path, text: str) -> None:
    draft = path.with_suffix(".draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


if __name__ == "__main__":
    make(_FOLDER)
