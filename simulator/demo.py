"""`python -m simulator.demo`: the demo in containers. Makes a passphrase, a configuration and books, then serves them.

What a service may know lies in a volume of its own: the passphrase for the decryptor, the credentials and the page's
action token for those who ask GRIN, the configuration for all. DEMO_BOOKS, DEMO_POISONED and DEMO_PAGES tell how many.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from pathlib import Path

from simulator.__main__ import main

_BOARD, _DATA = Path("/demo"), Path("/data")
_CONFIG, _GPG, _GRIN = (Path("/run/demo", name) for name in ("config", "gpg", "grin"))
# By this, a project's settings do not reach into the demo.
_ALONE = "docker compose --env-file /dev/null -p grin-demo --profile demo up"


def serve() -> int:
    """Prepare what is not there yet, and serve until told to stop."""
    if problem := _problem():
        sys.stderr.write(f"{problem}\n")
        return 2
    passphrase = _secret(_GPG / "passphrase.asc")
    books, poisoned = os.environ.get("DEMO_BOOKS") or "20", os.environ.get("DEMO_POISONED") or "3"
    make = ["--folder", str(_BOARD / "grin"), "--books", books, "--poisoned", poisoned]
    make += ["--pages", os.environ.get("DEMO_PAGES") or "6:14", "--passphrase-file", str(passphrase)]
    where = ["--listen", "0.0.0.0", "--known-as", "simulator", "--port", "8000"]  # noqa: S104 - a container's own network
    _secret(_GRIN / "action-token")
    _publish(Path(__file__).with_name("demo.yaml"), _CONFIG / "config.yaml")
    return main(["serve", *make, *where, "--credentials-out", str(_GRIN / "credentials.json")])


def _problem() -> str:
    if _occupied(_DATA):
        return f"A library's own files are in this project's volume. Give the demo a project of its own: {_ALONE}"
    store, keys = os.environ.get("DONE_BUCKET"), os.environ.get("STORE_ACCESS")
    if store and keys != "/run/s3/aws":
        return f"The made books would go to {store}, the library's own store. Start the demo without it: {_ALONE}"
    if not all(os.access(folder, os.W_OK) for folder in (_BOARD, _CONFIG, _GPG, _GRIN)):
        here = "The demo's volumes belong to user 10001: leave GRIN_PIPELINE_USER unset for it."
        return f"User {os.getuid()} cannot write there. {here}"
    return ""


def _occupied(folder: Path) -> bool:
    """Whether somebody has files there; what this user may not look into is somebody's."""
    try:
        return any(path.name != "lost+found" for path in folder.iterdir())
    except FileNotFoundError:
        return False
    except PermissionError:
        return True


def _secret(path: Path) -> Path:
    if not path.exists():
        draft = path.with_suffix(".draft")
        draft.write_text(secrets.token_hex(12) + "\n", encoding="utf-8")
        draft.chmod(0o600)
        draft.replace(path)
    return path


def _publish(source: Path, target: Path) -> None:
    """Whole or not at all: others read it at any time."""
    draft = target.with_suffix(".draft")
    shutil.copyfile(source, draft)
    draft.replace(target)


if __name__ == "__main__":
    sys.exit(serve())
