"""How the page answers: headers, JSON that every reader takes, and what a request asks for."""

from __future__ import annotations

import ipaddress
import math
import socket
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from common.json_line import json_line

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# What those ask who know a service by any name: a scraper, an engine.
_OPEN = frozenset({"/metrics", "/healthz", "/readyz"})
_STRANGE = (
    "This page answers to localhost and to addresses such as 127.0.0.1. To open it by another name, add that name to "
    "`board.hosts` of the configuration.\n"
)


def json_reply(facts: object, code: int = 200) -> Response:
    """JSON in UTF-8, without what JSON has no word for."""
    return Response(json_line(_finite(facts)).encode(), code, HEADERS, "application/json")


def wants(request: Request, kind: str) -> bool:
    """Whether a client asks for this kind of answer by name."""
    return kind in request.headers.get("accept", "")


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


class KnownHosts:
    """Answers only to names that are ours: by its own name, somebody else's page could read this one (DNS rebinding).

    A name without a dot is no domain that anybody could own.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self.app = app
        self.hosts = {host.lower() for host in hosts} | {socket.gethostname().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may be answered."""
        strange = scope["type"] == "http" and scope["path"] not in _OPEN and not self._knows(Headers(scope=scope))
        await (PlainTextResponse(_STRANGE, 421) if strange else self.app)(scope, receive, send)

    def _knows(self, headers: Headers) -> bool:
        try:
            host = (urlsplit(f"//{headers.get('host', '')}").hostname or "").lower()
        except ValueError:
            return False
        return ("." not in host.rstrip(".") and ":" not in host) or host in self.hosts or _is_address(host)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
