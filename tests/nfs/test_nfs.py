"""A real NFS with two clients; `make nfs` runs it, as it starts a virtual machine for some minutes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(
    not os.environ.get("GRIN_NFS"), reason="NO REAL NFS WAS TRIED: `make nfs` does it in a virtual machine."
)
def test_the_board_over_a_real_nfs() -> None:
    """Claims of two NFS clients are each won once, a storm of kills loses nothing, and the doctor finds all well."""
    # Its words go out as they come, since it takes minutes.
    ended = subprocess.run([sys.executable, "-P", "-m", "tests.nfs.guest"], cwd=ROOT, env=_environ(), check=False)
    assert ended.returncode == 0


def _environ() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
