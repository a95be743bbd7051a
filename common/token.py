"""What a token is: a small JSON file that stands for one book. Barcode grammar, parsing, refusing.

    {"barcode": "32101081977728", "processing_bucket": "/data/processing", "done_bucket": "/data/done"}

`storage_bucket` is read as `done_bucket`. Unknown members are kept, simply because a token is never rewritten. A token
may carry `"version"`; without it, it is version 1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SUFFIX = ".json"
VERSION = 1
MAX_BYTES = 64 * 1024
# No "~" in a barcode: claim names put it between the barcode and the worker.
BARCODE = r"[A-Za-z0-9_$-][A-Za-z0-9._$-]{0,63}"
_BARCODE = re.compile(BARCODE)


class TokenError(ValueError):
    """This is not a token; the message is a sentence for a person."""


class NewerToken(TokenError):  # noqa: N818 - a state of the token, not a fault
    """A token of a version that this release does not know: to be left alone."""


@dataclass(frozen=True)
class Token:
    """A parsed token; the folders are empty strings where it names none and the configuration's hold."""

    barcode: str
    processing_bucket: str
    done_bucket: str
    members: Mapping[str, Any]


def is_barcode(text: str) -> bool:
    """Whether `text` is 1 to 64 of letters, digits and `- _ . $`, not starting with a dot."""
    return _BARCODE.fullmatch(text) is not None


def check_barcode(text: str) -> str:
    """The barcode itself, or TokenError."""
    if not is_barcode(text):
        shown = ascii(text[:80])
        raise TokenError(f"{shown} is no barcode: 1 to 64 of letters, digits and - _ . $, not starting with a dot.")
    return text


def barcode_of(name: str) -> str | None:
    """The barcode in a token's file name, or None when the name is not a token's."""
    barcode = name.removesuffix(SUFFIX)
    return barcode if name.endswith(SUFFIX) and is_barcode(barcode) else None


def encode(barcode: str, processing_bucket: str, done_bucket: str) -> bytes:
    """The bytes of a new token."""
    members = {
        "barcode": check_barcode(barcode),
        "processing_bucket": processing_bucket,
        "done_bucket": done_bucket,
    }
    return json.dumps(members).encode() + b"\n"


def parse(data: bytes, barcode: str) -> Token:
    """The token in `data`, which must be that of `barcode`; TokenError says what is wrong with it."""
    members = _object(data)
    version = members.get("version", VERSION)
    if isinstance(version, int | float) and version > VERSION:
        shown = ascii(version)[:40]
        raise NewerToken(f"The token is of version {shown}, this release knows only {VERSION}: it is left alone.")
    if version != VERSION or isinstance(version, bool):
        raise TokenError(f"The token says that it is of version {ascii(version)[:40]}, which there has never been.")
    if members.get("barcode") != barcode:
        shown = ascii(members.get("barcode"))[:80]
        raise TokenError(f"The token's file is named after {barcode}, but the barcode inside is {shown}.")
    done = "done_bucket" if "done_bucket" in members else "storage_bucket"
    return Token(barcode, _text(members, "processing_bucket"), _text(members, done), members)


def _object(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise TokenError(f"The token is larger than {MAX_BYTES} bytes, so it is no token.")
    try:
        members = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise TokenError(f"The token is not valid JSON ({str(error)[:120]}).") from None
    if not isinstance(members, dict):
        raise TokenError("The token is not a JSON object.")
    return members


def _text(members: Mapping[str, Any], key: str) -> str:
    value = members.get(key, "")
    if not isinstance(value, str) or not value.isprintable():
        raise TokenError(f"The token's {key} is not a printable text.")
    return value
