"""The live page: server-sent events, each with the pieces that have changed since the one before."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

_EVERY, _SIGN_OF_LIFE = 1.0, 15.0
# Pages that are live at once; more are told to look again by hand.
_MOST = 64


class Live:
    """Hands out `/events`; `close` ends all streams."""

    def __init__(self, pieces: Callable[[], dict[str, str]]) -> None:
        self._pieces = pieces
        self._open = 0
        self._closed = False

    async def events(self, request: Request) -> Response:
        """The stream of one page."""
        if self._open >= _MOST:
            text = f"{_MOST} pages are live already: close one, or reload this one by hand.\n"
            return PlainTextResponse(text, 503, {"Retry-After": "30"})
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._stream(request), media_type="text/event-stream", headers=headers)

    def close(self) -> None:
        """End every stream within a second."""
        self._closed = True

    async def _stream(self, request: Request) -> AsyncIterator[str]:
        sent: dict[str, str] = {}
        silent = 0.0
        self._open += 1
        try:
            while not self._closed and not await request.is_disconnected():
                pieces = await run_in_threadpool(self._pieces)
                changed = {name: html for name, html in pieces.items() if sent.get(name) != html}
                silent = 0.0 if changed else silent + _EVERY
                if changed:
                    sent = pieces
                    yield f"data: {json.dumps(changed)}\n\n"
                elif silent >= _SIGN_OF_LIFE:
                    silent = 0.0
                    yield ": nothing new\n\n"
                await asyncio.sleep(_EVERY)
        finally:
            self._open -= 1
