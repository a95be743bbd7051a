"""What `doctor` says of versions: this program's, what it runs on, and those of the workers on the board."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

from common import __version__, durable
from common.config import Settings
from common.heartbeat import seen
from services.orchestrator.findings import Finding, finding

NAME = "versions"
# Older ones neither take a passphrase without an agent nor insist on an integrity packet.
_LEAST_GPG = (2, 1)
_SAME = "Restart what is older, a stage at a time: all parts should be of one release (docs/how-to/release.md)."


def versions(settings: Settings, *, gpg: bool = True) -> Iterator[Finding]:
    """One line of what is here, and a warning where it will not do, or where workers run another release."""
    told = _gpg() if gpg else ""
    number = tuple(int(part) for part in re.findall(r"\d+", told)[:2])
    parts = [f"GRIN Pipeline {__version__}", f"Python {platform.python_version()}", *filter(None, [told]), _system()]
    old = bool(number) and number < _LEAST_GPG
    yield finding(NAME, f"{', '.join(parts)}.", "Install gpg 2.1 or newer.", must=old)
    others = _others(settings)
    if others:
        said = ", ".join(f"{count} of {version}" for version, count in sorted(others.items()))
        text = f"Workers on this board run another release than {__version__}: {said}."
        yield finding(NAME, text, _SAME, warning=True)


def _gpg() -> str:
    """`gpg 2.2.40`; empty where there is none."""
    if shutil.which("gpg") is None:
        return ""
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(["gpg", "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S607
        found = re.match(r"gpg \(.*?\) (\S+)", done.stdout)
        return f"gpg {found[1]}" if found else ""
    return ""


def _system() -> str:
    name = platform.system()
    with suppress(OSError):
        name = platform.freedesktop_os_release().get("PRETTY_NAME", name)
    return f"{name} ({platform.system()} {platform.release()}, {platform.machine()})"


def _others(settings: Settings) -> Counter[str]:
    """How many live workers of each other version there are."""
    folder = settings.global_.pipeline_dir / "workers"
    found: Counter[str] = Counter()
    with suppress(OSError):
        now = durable.server_time(folder)
        living = (one for one in seen(folder, now) if abs(one.age) < settings.global_.reap_after)
        # Whatever a worker's file says may be anybody's.
        found.update(str(one.facts.get("version", "none that it tells"))[:20] for one in living)
    del found[__version__]
    return found
