"""A person's consent, by Google's way for installed programs: a loopback address, PKCE, and a state of our own.

The person opens an address; Google sends the browser back to a port of ours with a code, or the person pastes the
address that the browser could not reach; the code is changed for a refresh token, which goes into a file.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import queue
import secrets
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from common import durable
from common.errors import ConfigError, Halt
from common.grin.credentials import PERSON, SCOPES, SERVICE
from common.settings import GrinSettings

_AGAIN = "Run `grin-pipeline auth login` again."
_REVOKE = "Remove the program's access at https://myaccount.google.com/connections, then run `auth login` again."


class OtherLogin(Halt):
    """An answer that belongs to another login, or to none; this one goes on waiting."""


@dataclass(frozen=True)
class Client:
    """The program in whose name the person is asked."""

    client_id: str
    client_secret: str = field(repr=False)


def read_client(file: Path) -> Client:
    """The client in a client_secret.json of Google's console; ConfigError says what is wrong with the file."""
    try:
        whole = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"The client's secret {file} cannot be read: {error.strerror}."]) from None
    except ValueError:
        raise ConfigError([f"The client's secret {file} is not JSON."]) from None
    found = [_member(whole, name) for name in ("client_id", "client_secret")]
    if not all(found):
        cure = "Download it anew from Google's console: an OAuth client of the type desktop app."
        raise ConfigError([f"The client's secret {file} holds no client_id and client_secret.", cure])
    return Client(*found)


def _member(whole: object, name: str) -> str:
    for kind in ("installed", "web"):
        inner = whole.get(kind) if isinstance(whole, dict) else None
        if isinstance(inner, dict) and isinstance(inner.get(name), str):
            return str(inner[name])
    return ""


def check_target(file: Path | None, secret: Path) -> Path:
    """Where the credentials will be written; ConfigError when they must not, or cannot, before anybody is asked."""
    if file is None:
        raise ConfigError(["Set grin.credentials_file: the file that the credentials are to be written to."])
    if file.exists() and secret.exists() and file.samefile(secret):
        raise ConfigError([f"grin.credentials_file is the client's secret {secret} itself; name another file there."])
    above = durable.existing_ancestor(file.parent)
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise ConfigError([f"{file} cannot be made: {above} is no folder that may be written to."])
    with suppress(OSError, ValueError, AttributeError):
        if json.loads(file.read_text(encoding="utf-8")).get("type") == SERVICE:
            raise ConfigError([f"{file} is a service account's key and would be lost. Name another file, or move it."])
    return file


class Consent:
    """One asking of one person; `redirect_uri` is where Google sends the browser."""

    def __init__(self, settings: GrinSettings, client: Client, redirect_uri: str) -> None:
        self._settings = settings
        self._client = client
        self._redirect_uri = redirect_uri
        self._state = secrets.token_urlsafe(32)
        self._verifier = secrets.token_urlsafe(64)

    def url(self) -> str:
        """The address that the person opens; it holds no secret."""
        digest = hashlib.sha256(self._verifier.encode()).digest()
        members = {
            "response_type": "code",
            "client_id": self._client.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": " ".join(SCOPES),
            "state": self._state,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            # Only so does Google give a refresh token, to somebody who has consented before, too.
            "access_type": "offline",
            "prompt": "consent",
        }
        return f"{self._settings.auth_uri}?{urlencode(members)}"

    def code(self, address: str) -> str:
        """The code in the address that Google has sent the browser to; OtherLogin for a strange one, Halt for a no."""
        try:
            told = {name: values[0] for name, values in parse_qs(urlsplit(address.strip()).query).items()}
        except ValueError:
            told = {}
        if not secrets.compare_digest(told.get("state", "").encode(), self._state.encode()):
            cure = "Use the address that was printed last, once, and paste the whole of what the browser shows then."
            raise OtherLogin("That answer does not belong to this login: its state is another one.", cure)
        if told.get("error") == "access_denied":
            raise Halt(
                "Google says that the consent was refused.", f"{_AGAIN} Choose the account GRIN knows and allow it."
            )
        if "error" in told or "code" not in told:
            raise Halt(f"Google gave no code ({told.get('error', 'and no reason')[:60]}).", _AGAIN)
        return told["code"]

    def credentials(self, code: str) -> dict[str, Any]:
        """An authorised user's file for that code, secrets included; Halt when Google gives none."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "client_id": self._client.client_id,
            "client_secret": self._client.client_secret,
            "code_verifier": self._verifier,
        }
        told = _posted(self._settings.token_uri, form)
        if not isinstance(told.get("refresh_token"), str):
            raise Halt("Google gave no refresh token, so nothing could run without this person.", _REVOKE)
        return {
            "type": PERSON,
            "client_id": self._client.client_id,
            "client_secret": self._client.client_secret,
            "refresh_token": told["refresh_token"],
            "token_uri": self._settings.token_uri,
            "scopes": str(told.get("scope") or " ".join(SCOPES)).split(),
            "account": _email(told.get("id_token")),
        }


def _posted(uri: str, form: dict[str, str]) -> dict[str, Any]:
    try:
        response = httpx.post(uri, data=form, timeout=30)
    except httpx.RequestError as error:
        raise Halt(f"{httpx.URL(uri).host} cannot be reached ({type(error).__name__}).", _AGAIN) from None
    try:
        told = response.json()
    except ValueError:
        told = None
    if response.status_code != 200 or not isinstance(told, dict):
        code = str(told.get("error", "no reason given"))[:60] if isinstance(told, dict) else "no reason given"
        cure = "See that the client's secret is whole and the client still there in Google's console. " + _AGAIN
        raise Halt(f"Google does not change the code for a token ({response.status_code}, {code}).", cure)
    return told


def _email(token: object) -> str:
    """Whose consent it is; the token came from Google itself, so its signature proves nothing more."""
    with suppress(ValueError, IndexError, AttributeError):
        part = str(token).split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))).get("email", ""))
    return ""


def write(file: Path, credentials: dict[str, Any]) -> None:
    """Put the file in place at once, durably, for its owner alone from its first byte on."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    durable.write_file(file, json.dumps(credentials, indent=1).encode() + b"\n", mode=0o600)


class Door:
    """A port of this machine at which the browser comes back; used as a context manager. Port 0 takes a free one."""

    def __init__(self, host: str, port: int) -> None:
        self.answers: queue.SimpleQueue[str | Halt] = queue.SimpleQueue()
        self.read: Callable[[str], str] = str
        try:
            self._server = _Server((host, port), type("Handler", (_Handler,), {"door": self}))
        except OSError as error:
            problem = f"Port {port} of {host} cannot be listened at ({error.strerror}); give another with --port."
            raise ConfigError([problem]) from None
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.uri = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Door:
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def wait_for_code(
    door: Door, consent: Consent, seconds: float, say: Callable[[str], None], typed: TextIO | None
) -> str:
    """The code, from the browser or from a pasted line of `typed`; Halt after so many seconds, or for a no."""
    door.read = consent.code
    lines, end = _Typed(typed), time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            found = _answered(door)
            line = "" if found else lines.line()
            found = consent.code(line) if line else found
        except OtherLogin as error:
            say(f"{error.reason} {error.cure}")
            continue
        if found:
            return found
    raise Halt(f"Nobody has given consent within {seconds:g} seconds.", _AGAIN)


def _answered(door: Door) -> str:
    try:
        answer = door.answers.get(timeout=0.2)
    except queue.Empty:
        return ""
    if isinstance(answer, Halt):
        raise answer
    return answer


class _Typed:
    """Lines that a person types or pastes, taken as they come and waited for by nobody; None for nobody there."""

    def __init__(self, source: TextIO | None) -> None:
        self._fd = source.fileno() if source is not None else None
        self._rest = b""

    def line(self) -> str:
        """The next whole line, empty when there is none."""
        if self._fd is not None and select.select([self._fd], [], [], 0)[0]:
            self._rest += os.read(self._fd, 65_536)
        whole, end, rest = self._rest.partition(b"\n")
        if not end:
            return ""
        self._rest = rest
        return whole.decode(errors="replace").strip() or self.line()


_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>GRIN Pipeline</title>
<body style="font: 18px sans-serif; max-width: 36em; margin: 4em auto"><h1>{title}</h1><p>{text}</p></body></html>
"""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: whoever hung up is no matter for the person at the terminal."""


class _Handler(BaseHTTPRequestHandler):
    door: Door
    timeout = 10

    def do_GET(self) -> None:
        """Take what Google has sent the browser with; whatever else a browser asks for is not here."""
        if "state=" not in urlsplit(self.path).query:
            self._say(404, "Nothing here", "Only Google's answer to a login is expected at this address.")
            return
        try:
            answer: str | Halt = self.door.read(self.path)
        except Halt as error:
            answer = error
        # First of all: a browser that goes away before it has its page must not cost the consent.
        self.door.answers.put(answer)
        if isinstance(answer, Halt):
            self._say(400, "That was no login", f"{answer.reason} {answer.cure}")
        else:
            self._say(200, "Thank you", "You can close this page; the terminal says how it went on.")

    def log_message(self, *_: object) -> None:
        """Say nothing: the address holds the code."""

    def _say(self, status: int, title: str, text: str) -> None:
        body = _PAGE.format(title=title, text=text.replace("&", "&amp;").replace("<", "&lt;")).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        # The address with the code goes nowhere else.
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(body)
