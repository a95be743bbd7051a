"""The live page: server-sent events, each with the pieces that have changed since the one before."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

_EVERY, _SIGN_OF_LIFE = 1.0, 15.0
# Pages that are live at once; more are told to look again by hand.
_MOST = 64


class Live:
    """Hands out `/events`; `close` ends all streams."""

    def __init__(self, look: Callable[[], dict[str, str]]) -> None:
        self._look = look
        self._turn = asyncio.Lock()
        self._open = 0
        self._closed = False

    async def pieces(self) -> dict[str, str]:
        """The pieces as they are now. One thread looks for all who wait: a slow disk must not take all of them."""
        async with self._turn:
            return await run_in_threadpool(self._look)

    async def events(self, request: Request) -> Response:
        """The stream of one page."""
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        if self._open >= _MOST:
            text = f"{_MOST} pages are live already: close one, or reload this one by hand.\n"
            return PlainTextResponse(text, 503, {"Retry-After": "30"})
        self._open += 1
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return _Counted(self, self._stream(request), media_type="text/event-stream", headers=headers)

    def left(self) -> None:
        """A page is live no more."""
        self._open -= 1

    def close(self) -> None:
        """End every stream within a second."""
        self._closed = True

    async def _stream(self, request: Request) -> AsyncIterator[str]:
        sent: dict[str, str] = {}
        silent = 0.0
        while not self._closed and not await request.is_disconnected():
            pieces = await self.pieces()
            changed = {name: html for name, html in pieces.items() if sent.get(name) != html}
            silent = 0.0 if changed else silent + _EVERY
            if changed:
                sent = pieces
                yield f"data: {json.dumps(changed)}\n\n"
            elif silent >= _SIGN_OF_LIFE:
                silent = 0.0
                yield ": nothing new\n\n"
            await asyncio.sleep(_EVERY)


class _Counted(StreamingResponse):
    """A stream that is counted until it ends, also one whose reader left before it began."""

    def __init__(self, live: Live, content: AsyncIterator[str], **more: Any) -> None:
        super().__init__(content, **more)
        self._live = live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._live.left()
