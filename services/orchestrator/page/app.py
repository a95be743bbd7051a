"""The page's addresses: `/`, `/events`, `/book/…`, `/bucket/…`, `/act`; beside them /metrics and the health checks."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from common import board
from common.errors import ConfigError
from common.health import Check
from common.token import is_barcode
from services.orchestrator import render
from services.orchestrator.choosing import DONE
from services.orchestrator.page import actions
from services.orchestrator.page.actions import Done, Refused
from services.orchestrator.page.live import Live
from services.orchestrator.page.pieces import Look
from services.orchestrator.page.replies import HEADERS, KnownHosts, json_reply, wants
from services.orchestrator.page.story import bucket_rows, story
from services.orchestrator.view import View

_STATIC = {"board.css": "text/css", "board.js": "text/javascript", "icon.svg": "image/svg+xml"}
# A form has three short fields; what takes longer than this, in seconds, goes on while the page is answered.
_LARGEST, _PATIENCE = 64 * 1024, 20.0
# Seconds: for a form to arrive, after a wrong token, and for what is being done when the orchestrator stops.
_ARRIVAL, _AFTER_A_GUESS, _PATIENCE_AT_END = 10.0, 1.0, 10.0
_SENTENCES = {404: "There is nothing at this address. The board is at /.", 405: "Only a button of the board does that."}
_GOES_ON = "It takes long and goes on; the page shows it."


@dataclass
class Page:
    """Everything that answers; `facts` are those of `status` and their age in seconds, `checks` the health checks."""

    view: View
    facts: Callable[[], tuple[Mapping[str, Any], float]]
    registry: CollectorRegistry
    checks: dict[str, Check]
    require: Callable[[], None] = lambda: None
    """Raises OSError when the board is not where it was."""
    look: Look = field(init=False)
    live: Live = field(init=False)
    _deeds: set[asyncio.Future[Done]] = field(default_factory=set)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        # A file that cannot be read is told at the start; later on, the page only shows until it can be.
        self._token()
        self.look = Look(self.view, self.facts, self._acts)
        self.live = Live(self.look.pieces)

    def app(self) -> Starlette:
        """The application."""
        health = [Route(path, self._check(check)) for path, check in self.checks.items()]
        static = [Route(f"/{name}", self._static(name, kind)) for name, kind in _STATIC.items()]
        routes = [
            Route("/", self._board),
            Route("/events", self.live.events),
            Route("/book/{barcode}", self._book),
            Route("/book", self._find),
            Route("/bucket/{name}", self._bucket),
            Route("/act", self._act, methods=["POST"]),
            Route("/status.json", self._status),
            Route("/metrics", self._metrics),
        ]
        sorry = {HTTPException: self._sorry, OSError: self._sorry, Exception: self._sorry}
        hosts = Middleware(KnownHosts, hosts=self.view.settings.board.hosts)
        return Starlette(routes=[*routes, *health, *static], exception_handlers=sorry, middleware=[hosts])

    def close(self) -> None:
        """Let every live page go, and have what is being done come to its end, which is told and recorded."""
        self.live.close()
        self._stopping.set()
        end = time.monotonic() + _PATIENCE_AT_END
        while self._deeds and time.monotonic() < end:
            time.sleep(0.02)

    # --- what is read ---

    async def _board(self, request: Request) -> Response:
        if wants(request, "application/json"):
            return self._status(request)
        if not wants(request, "text/html"):
            return PlainTextResponse(render.as_text(render.status(dict(self.facts()[0]))))
        await self.live.pieces()
        return await run_in_threadpool(self._whole, [], 200, {})

    def _whole(self, said: list[str], code: int, form: Mapping[str, str]) -> Response:
        return self._html("board.html", code, pieces=self.look.pieces(), said=said, form=form)

    def _book(self, request: Request) -> Response:
        barcode = _barcode(str(request.path_params["barcode"]))
        found = story(self.view, barcode)
        if wants(request, "application/json"):
            return json_reply(found.as_dict(), 200 if found.known else 404)
        return self._html("book.html", 200 if found.known else 404, story=found, said=[], form={})

    def _find(self, request: Request) -> Response:
        barcode = _barcode(request.query_params.get("barcode", "").strip())
        return RedirectResponse(f"book/{barcode}", 303, HEADERS)

    def _bucket(self, request: Request) -> Response:
        name, state = str(request.path_params["name"]), request.query_params.get("state", "")
        if name not in self.view.paths:
            raise HTTPException(404, f"There is no such bucket; there are {', '.join(self.view.paths)}.")
        states = self._states(name)
        if state and state not in states:
            raise HTTPException(404, f"There is no such state in this bucket; there are {', '.join(states)}.")
        rows, more = bucket_rows(self.view, name, state)
        return self._html("bucket.html", 200, name=name, state=state, rows=rows, more=more)

    def _states(self, name: str) -> list[str]:
        """The states of a bucket's tokens; in the last one, what would wait elsewhere is done."""
        last = self.view.paths[name] in self.view.last
        return [DONE if last and state == board.WAITING else state for state in board.STATES]

    def _status(self, _request: Request) -> Response:
        return json_reply(self.facts()[0])

    def _metrics(self, _request: Request) -> Response:
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)

    @staticmethod
    def _check(check: Check) -> Callable[[Request], Awaitable[Response]]:
        # Answered at once: all threads may be waiting for a slow disk.
        async def answer(_request: Request) -> Response:
            well, text = check()
            return PlainTextResponse(f"{text}\n", 200 if well else 503)

        return answer

    @staticmethod
    def _static(name: str, kind: str) -> Callable[[Request], Response]:
        body = (files("services.orchestrator.page") / "static" / name).read_bytes()

        def answer(_request: Request) -> Response:
            return Response(body, media_type=kind, headers=HEADERS | {"Cache-Control": "max-age=300"})

        return answer

    # --- what is done ---

    async def _act(self, request: Request) -> Response:
        form = await _form(request)
        try:
            done, code = await self._do(request, form), 200
        except Refused as refused:
            done, code = Done([str(refused)], 0), refused.code
            # Who guesses has to be patient.
            await asyncio.sleep(_AFTER_A_GUESS if refused.guess else 0)
        except asyncio.CancelledError:
            return PlainTextResponse("The orchestrator stops; look again whether that was done.\n", 503)
        if code == 200 and not done.changed:
            code = 409
        if wants(request, "application/json"):
            return json_reply({"done": code == 200, "changed": done.changed, "said": done.said}, code)
        return await run_in_threadpool(self._answer, done.said, code, form)

    def _answer(self, said: list[str], code: int, form: Mapping[str, str]) -> Response:
        """The page that the form was on, without scripts: the board, or a book's own."""
        barcode = form.get("do", "").partition(" ")[2]
        if form.get("page") != "book" or not is_barcode(barcode):
            return self._whole(said, code, form)
        return self._html("book.html", code, story=story(self.view, barcode), said=said, form=form)

    async def _do(self, request: Request, form: Mapping[str, str]) -> Done:
        client = request.client.host if request.client else "unknown"
        settings = self.view.settings
        try:
            token = await run_in_threadpool(self._token)
            asked = actions.deed(settings, request.headers, form, client, token)
        except ConfigError as error:
            raise Refused(400, f"Nothing was done: {' '.join(error.problems)}") from None
        work = asyncio.ensure_future(run_in_threadpool(self._done, asked))
        self._deeds.add(work)
        work.add_done_callback(self._deeds.discard)
        finished, _ = await asyncio.wait([work], timeout=_PATIENCE)
        return work.result() if finished else Done([_GOES_ON], 1)

    def _done(self, asked: actions.Deed) -> Done:
        try:
            self.require()
            return actions.done(self.view.settings, asked, self._stopping)
        except OSError as error:
            raise Refused(503, f"That could not be done: {error}. See that the board's disk is well.") from None

    def _acts(self) -> bool:
        try:
            return self._token() is not None
        except ConfigError:
            return False

    def _token(self) -> str | None:
        return self.view.settings.board.token()

    # --- the pieces they share ---

    def _html(self, template: str, code: int, **values: object) -> Response:
        whole = {**values, "acts": self._acts(), "library": self.view.settings.global_.library}
        text = self.look.templates.get_template(template).render(whole)
        return Response(text, code, HEADERS, "text/html")

    def _sorry(self, request: Request, error: Exception) -> Response:
        code, sentence = (
            500,
            "The page itself is at fault here; logs/orchestrator.jsonl of the board has the whole of it.",
        )
        if isinstance(error, OSError):
            code, sentence = 503, f"The board cannot be read: {error}. See that its disk is well, then look again."
        elif isinstance(error, HTTPException):
            # Without a sentence of ours, its detail is the code's name.
            said = error.detail if error.detail.endswith(".") else _SENTENCES.get(error.status_code, f"{error.detail}.")
            code, sentence = error.status_code, said
        if wants(request, "text/html"):
            return self._html("sorry.html", code, sentence=sentence)
        return PlainTextResponse(f"{sentence}\n", code)


def _barcode(text: str) -> str:
    if not is_barcode(text):
        raise HTTPException(404, "That is no barcode: 1 to 64 letters, digits and - _ . $.")
    return text


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form, at most a few kilobytes, which must arrive soon."""
    length = request.headers.get("content-length", "")
    if "transfer-encoding" in request.headers or not length.isdecimal() or int(length) > _LARGEST:
        raise HTTPException(413, "That is too large for this form.")
    try:
        fields = await asyncio.wait_for(request.form(), _ARRIVAL)
    except TimeoutError:
        raise HTTPException(408, "The form did not arrive in time. Send it again.") from None
    return {name: value for name, value in fields.items() if isinstance(value, str)}
