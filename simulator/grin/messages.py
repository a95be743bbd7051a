"""Requests and replies, apart from the sockets they come and go through."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_BATCH = 1000


@dataclass(frozen=True)
class Request:
    """What a client asks; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        """The decoded path."""
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, list[str]]:
        """The decoded parameters."""
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    def value(self, name: str, default: str = "") -> str:
        """The last value of a parameter."""
        return self.query.get(name, [default])[-1]


@dataclass(frozen=True)
class Reply:
    """What the server answers; a body without a length goes out in chunks, or until the close if not `framed`."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Iterable[bytes] = ()
    length: int | None = 0
    framed: bool = True


NO_WORD = Reply(0)
"""The connection is reset instead of a reply."""


class Hangup(Exception):  # noqa: N818 - an order to the sender, raised by a body
    """End the connection here, with a reset or in good order."""

    def __init__(self, *, reset: bool) -> None:
        self.reset = reset
        super().__init__()


def lines(rows: Iterable[str], end: str = "\n") -> Reply:
    """Plain text, sent in chunks while it is made."""
    return Reply(200, {"Content-Type": "text/plain; charset=utf-8"}, _batches(rows, end), None)


def page(title: str, body: str, status: int = 200) -> Reply:
    """An HTML page; `body` is markup."""
    text = f"<!DOCTYPE html>\n<html><head><title>{html.escape(title)}</title></head>\n<body>{body}</body></html>\n"
    return _whole(status, "text/html; charset=utf-8", text.encode())


def answer_json(value: Any, status: int = 200) -> Reply:
    """A JSON value."""
    return _whole(status, "application/json", json.dumps(value).encode() + b"\n")


def not_found() -> Reply:
    """A 404."""
    return page("Error 404", "<h1>404. That's an error.</h1>", 404)


def redirect(location: str) -> Reply:
    """A 302."""
    return Reply(302, {"Location": location})


def _whole(status: int, kind: str, data: bytes) -> Reply:
    return Reply(status, {"Content-Type": kind}, (data,), len(data))


def _batches(rows: Iterable[str], end: str) -> Iterator[bytes]:
    left = iter(rows)
    while batch := list(islice(left, _BATCH)):
        yield (end.join(batch) + end).encode()
