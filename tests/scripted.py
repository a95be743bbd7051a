"""A GRIN that answers by script, over real HTTP: each path has its replies, each fault is played exactly once."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

from common.settings import FilterRow, GlobalSettings, GrinSettings, Settings

LOGIN_PAGE = b"<!doctype html><html><title>Sign in</title></html>"


@dataclass(frozen=True)
class Reply:
    """What to answer: `promised` bytes are announced, those of `body` are sent, then the connection ends."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    promised: int | None = None
    framed: bool = True
    """False: nothing but the connection's end tells where the body ends."""
    then_wait: threading.Event | None = None
    drops: Sequence[bytes] = ()
    """More of the body, which comes piece by piece, one `every` so many seconds."""
    every: float = 0.0


def page(status: int = 200) -> Reply:
    """An HTML page where something else was expected."""
    return Reply(LOGIN_PAGE, status, {"Content-Type": "text/html; charset=utf-8"})


def redirect(location: str, status: int = 302) -> Reply:
    """A redirect to that address."""
    return Reply(status=status, headers={"Location": location})


@dataclass(frozen=True)
class Seen:
    """A request that has come."""

    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    form: dict[str, list[str]]
    method: str = "GET"
    body: bytes = b""


class ScriptedGrin:
    """A server on a free port of 127.0.0.1; `script` maps a path to its replies, of which the last is repeated."""

    def __init__(self) -> None:
        self.script: dict[str, list[Reply | Callable[[Seen], Reply]]] = {}
        self.seen: list[Seen] = []
        self.token = 0
        self.token_reply: Reply | None = None
        self._server = _QuietServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"grin": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.netloc = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.netloc}"

    def __enter__(self) -> ScriptedGrin:
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def at(self, resource: str, *replies: Reply | Callable[[Seen], Reply]) -> None:
        """Set the replies of one of TESTLIB's pages or archives."""
        self.script[f"/libraries/TESTLIB/{resource}"] = list(replies)

    def asked(self, resource: str) -> list[Seen]:
        """The requests that have come for one of TESTLIB's pages or archives."""
        return [one for one in self.seen if one.path == f"/libraries/TESTLIB/{resource}"]

    def settings(self, folder: Path, **grin: object) -> Settings:
        """Settings that lead here, with a person's credentials in a file of `folder`."""
        file = folder / "credentials.json"
        members = {"refresh_token": "r3fresh", "client_id": "id", "client_secret": "s3cret"}
        file.write_text(json.dumps({"type": "authorized_user", **members}))
        file.chmod(0o600)
        more = {"tries": 2, "requests_per_second": 1000, "credentials_file": file, **grin}
        row = FilterRow(name="downloader", class_="Downloader", input_pipe=folder / "a", output_pipe=folder / "b")
        return Settings(
            global_=GlobalSettings(library="TESTLIB", processing_bucket=folder, pipeline_dir=folder / "pipeline"),
            grin=GrinSettings.model_validate(
                {"base_url": f"{self.url}/libraries", "token_uri": f"{self.url}/token", **more}
            ),
            filters=[row],
        )

    def answer(self, seen: Seen) -> Reply:
        """The reply to a request, and what the token endpoint says."""
        self.seen.append(seen)
        if seen.path == "/token":
            return self.token_reply or self._new_token()
        if seen.headers.get("Authorization") != f"Bearer token-{self.token}":
            return redirect(f"{self.url}/accounts.google.com/ServiceLogin?continue=x")
        replies = self.script.get(seen.path, [Reply(status=404)])
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        return reply(seen) if callable(reply) else reply

    def _new_token(self) -> Reply:
        self.token += 1
        answer = {"access_token": f"token-{self.token}", "expires_in": 3600, "token_type": "Bearer"}
        return Reply(json.dumps(answer).encode(), headers={"Content-Type": "application/json"})


class _QuietServer(ThreadingHTTPServer):
    """Clients that hang up are part of the script, and not worth a traceback each."""

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    grin: ScriptedGrin
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer by the script."""
        self._answer(b"")

    def do_HEAD(self) -> None:
        """Answer by the script, without the body."""
        self._answer(b"")

    def do_POST(self) -> None:
        """Answer a token request, or by the script."""
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, body: bytes) -> None:
        parts, form = urlsplit(self.path), parse_qs(body.decode())
        seen = Seen(parts.path, parse_qs(parts.query), dict(self.headers), form, self.command, body)
        reply = self.grin.answer(seen)
        try:
            self._send(reply)
        except ConnectionError:
            # A client that has seen enough hangs up.
            self.close_connection = True

    def _send(self, reply: Reply) -> None:
        length = len(reply.body) if reply.promised is None else reply.promised
        announced = {} if "Transfer-Encoding" in reply.headers else {"Content-Length": str(length)}
        announced = announced if reply.framed else {"Connection": "close"}
        # A script may have a clock of its own.
        (self.send_response_only if "Date" in reply.headers else self.send_response)(reply.status)
        for name, value in {**announced, **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(reply.body)
        self.wfile.flush()
        for drop in reply.drops:
            time.sleep(reply.every)
            self.wfile.write(drop)
        if reply.then_wait is not None:
            reply.then_wait.wait(5)
        if length != len(reply.body):
            self.close_connection = True
