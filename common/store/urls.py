"""URLs of buckets: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`."""

from __future__ import annotations

import re

SCHEMES = {"s3": "S3", "gs": "Google Cloud Storage", "az": "Azure Blob Storage"}
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_SLIP = re.compile(r"(s3|gs|az):(?!//)", re.IGNORECASE)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_PART = re.compile(r"[^\x00-\x1f\x7f\\?#]+")


def is_url(bucket: str) -> bool:
    """Whether this is meant as an object store, and not as a path."""
    return bool(_URL.match(bucket))


def split(url: str) -> tuple[str, str, str]:
    """Scheme, name of the bucket and prefix (without slashes at its ends) of a URL that is not `wrong`."""
    scheme, _, rest = url.partition("://")
    name, _, prefix = rest.partition("/")
    return scheme.lower(), name, prefix.strip("/")


def wrong(bucket: str) -> str:
    """What is wrong with a URL or a path, as a sentence; "" for nothing. Never shows what could be a key."""
    return _wrong_url(bucket) if is_url(bucket) else _wrong_path(bucket)


def _wrong_path(path: str) -> str:
    if slip := _SLIP.match(path):
        kind = slip[1].lower()
        return (
            f"The done bucket {path} is neither a path nor a URL. Write it as {kind}://BUCKET/PREFIX, or as ./{path}."
        )
    if path.startswith("~"):
        return f"The done bucket {path} begins with ~, which only a shell understands. Write the whole path."
    return ""


def _wrong_url(url: str) -> str:
    if "@" in url.partition("://")[2].partition("/")[0] or "?" in url:
        return "The done bucket's URL holds more than a bucket and a prefix. Keys belong into the environment."
    scheme, name, prefix = split(url)
    if scheme not in SCHEMES:
        known = ", ".join(f"{known}:// ({what})" for known, what in SCHEMES.items())
        return f"The done bucket {url} is of an unknown kind. Name a path, or one of {known}."
    if not name:
        return f"The done bucket {url} lacks a name. Write it as {scheme}://BUCKET/PREFIX."
    if not _BUCKET.fullmatch(name):
        return f"The done bucket {url} cannot be: {name} is no name of a bucket (small letters, digits, - and .)."
    parts = prefix.split("/") if prefix else []
    if any(part in {".", ".."} or not _PART.fullmatch(part) for part in parts):
        return f"The done bucket {url} cannot be: its prefix has a part that no key may have."
    return ""
