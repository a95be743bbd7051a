"""What the environment says of stores, looked at before the library is given it: some of it would make it crash."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from common.errors import Halt
from common.store.urls import SCHEMES

_PREFIXES = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# JSON, which may well be set with its line ends.
_LINES = {"GOOGLE_SERVICE_ACCOUNT_KEY"}
_CHECKSUMS = {"SHA256", "CRC64NVME"}
_AGAIN = "and start again."


def require_lines(scheme: str) -> None:
    """Halt when a variable of that store has a line end or the like in it: a key from a file that ends with one."""
    for name, value in sorted(os.environ.items()):
        if name.startswith(_PREFIXES[scheme]) and name not in _LINES and _CONTROL.search(value):
            cure = f"Set {name} without the line end, {_AGAIN}"
            raise Halt(f"The variable {name} has a line end or another control character in it.", cure)


def endpoint(scheme: str, value: str, origin: str) -> str:
    """The endpoint as it is; Halt when it is no URL of a web server. `origin` says where it stands."""
    if value and not _is_server(value):
        cure = f"Write it as https://HOST or https://HOST:PORT, {_AGAIN}"
        raise Halt(f"The endpoint in {origin}, for {SCHEMES[scheme]}, is no URL of a server.", cure)
    return value


def authorities(path: str) -> bytes | None:
    """The file that AWS_CA_BUNDLE names; None when it names none, Halt when it cannot be read."""
    try:
        return Path(path).read_bytes() if path else None
    except OSError as error:
        what = f"The file that AWS_CA_BUNDLE names cannot be read: {error.strerror}."
        raise Halt(what, f"Correct the variable, or the file's rights, {_AGAIN}") from None


def checksum() -> str | None:
    """Which checksum goes along with every put; None where a store takes none, Halt where nobody knows it."""
    if os.environ.get("AWS_REQUEST_CHECKSUM_CALCULATION", "").lower() == "when_required":
        return None
    named = os.environ.get("AWS_CHECKSUM_ALGORITHM") or "SHA256"
    if named.upper() not in _CHECKSUMS:
        raise Halt("AWS_CHECKSUM_ALGORITHM names a checksum that is unknown here.", f"Set it to SHA256, {_AGAIN}")
    return named


def _is_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        return False
    plain = url.isascii() and "@" not in parts.netloc and not re.search(r"[\s\x00-\x20\x7f]", url)
    return port_is_right and plain and parts.scheme.lower() in {"http", "https"} and bool(parts.hostname)
