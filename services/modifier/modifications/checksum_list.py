"""Google's checksum.md5, written anew when the members are no longer those that it lists."""

from __future__ import annotations

from common.archive_names import folder_of
from services.modifier.modification import Members


def rewrite(members: Members) -> bool:
    """Let checksum.md5 list the members that there are, itself aside; False when there is none to rewrite."""
    name = members.checksums_name
    if name is None:
        return False
    folder = folder_of(name)
    listed = (other for other in members.names() if other != name and other.startswith(folder))
    lines = (f"{members.md5(other)}  {other.removeprefix(folder)}\n" for other in listed)
    members.replace(name, "".join(lines).encode())
    return True
