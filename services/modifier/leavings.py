"""What a modification or a package has left in the work folder that is neither the package nor a sidecar."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from common import durable, workfiles
from common.archive_names import folded
from common.artifacts import Artifact
from common.errors import Reject

_CURE = "Mend the package, or choose another one; then put the book's token back."


def swept(work: Path, package: Artifact, sidecars: Collection[str], loose: Collection[str]) -> list[str]:
    """Remove what nobody would take into the store, and warn of it; Reject when the package is not there.

    `loose` are the names of members that lie in the folder as files.
    """
    if not isinstance(package, Artifact) or "/" in package.name or not (work / package.name).is_file():
        raise Reject(f"The package has left no file such as it says: {package!r:.200}.", _CURE)
    if twin := next((name for name in sidecars if folded(name) == folded(package.name)), None):
        raise Reject(f"The package {package.name} and the sidecar {twin} would be one file in some stores.", _CURE)
    return _warnings(sorted(_swept(work, {package.name, *sidecars, *loose})))


def _swept(work: Path, kept: Collection[str]) -> list[str]:
    strays = []
    for root, folders, names in durable.walk(work, topdown=False):
        links = [name for name in folders if Path(root, name).is_symlink()]
        for path in (Path(root, name) for name in (*links, *names)):
            name = path.relative_to(work).as_posix()
            if name not in kept:
                path.unlink()
                strays.append(name)
        if Path(root) != work and workfiles.is_empty(Path(root)):
            Path(root).rmdir()
    return strays


def _warnings(strays: list[str]) -> list[str]:
    if not strays:
        return []
    count = "A file was" if len(strays) == 1 else f"{len(strays)} files were"
    return [f"{count} left beside the package that no sidecar is, and removed; the first is {strays[0]!r:.200}."]
