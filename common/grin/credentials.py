"""Google credentials from a file: a service account's key, or a person's refresh token; and fresh access tokens."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from google.auth import exceptions, transport
from google.oauth2 import credentials as person
from google.oauth2 import service_account

from common.errors import Halt, ourselves
from common.grin.errors import Away, Passing
from common.settings import GrinSettings

SCOPES = (
    "openid",
    "https://www.googleapis.com/auth/userinfo.email",
    "https://www.googleapis.com/auth/userinfo.profile",
)
SERVICE, PERSON = "service_account", "authorized_user"
# A token is renewed after this share of its life; one of unknown life is taken for one of so many seconds.
_SHARE, _USUAL_LIFE = 0.8, 3000.0
# Where no new one is to be had, the old one is used while it lasts, and Google asked again after so many seconds.
_SOON = 10.0
_TOKEN = re.compile(r"[!-~]+")
Google = service_account.Credentials | person.Credentials
_CURE = (
    "Let grin.credentials_file name a service account's key as Google made it; or a new file, which"
    " `grin-pipeline auth login --client-secret FILE` then makes for a person."
)


class _Reply(transport.Response):
    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    @property
    def status(self) -> int:
        return self._response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    @property
    def data(self) -> bytes:
        return self._response.content


class _Transport(transport.Request):
    """What google-auth sends its token requests through."""

    def __init__(self, http: httpx.Client, on_request: Callable[[str, str], None]) -> None:
        self._http = http
        self._on_request = on_request

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> _Reply:
        try:
            response = self._http.request(method, url, content=body, headers=headers, timeout=timeout or 30)
        except httpx.RequestError as error:
            self._on_request("token", "error")
            raise exceptions.TransportError(f"{type(error).__name__}: {error}") from None  # type: ignore[no-untyped-call]
        self._on_request("token", str(response.status_code))
        return _Reply(response)


@dataclass(frozen=True)
class Bearer:
    """An access token, and its number among those that this process has had."""

    number: int
    value: str = field(repr=False)


class AccessToken:
    """The bearer token for GRIN; made when it is first needed, and again when most of its life is over.

    Threads share one: while one of them asks for a new token, the others wait for it.
    """

    def __init__(self, settings: GrinSettings, http: httpx.Client, on_request: Callable[[str, str], None]) -> None:
        self._settings = settings
        self._host = httpx.URL(settings.token_uri).host
        self._transport = _Transport(http, on_request)
        self._lock = threading.Lock()
        self._bearer = Bearer(0, "")
        self._renew_at = self._ends = -math.inf

    def value(self) -> str:
        """The token that `current` gives."""
        return self.current().value

    def current(self) -> Bearer:
        """A token that Google has not let expire; Halt when Google refuses one, Passing when it cannot be reached."""
        with self._lock:
            if time.monotonic() >= self._renew_at:
                self._renew_early()
            return self._bearer

    def expires_in(self) -> float:
        """Seconds until the token ends; negative when there is none."""
        return self._ends - time.monotonic()

    def refresh(self, rejected: int | None = None) -> None:
        """Get a new token; not if the one with the number `rejected` has been replaced already."""
        with self._lock:
            if rejected is None or rejected == self._bearer.number:
                self._renew()

    def _renew_early(self) -> None:
        try:
            self._renew()
        except Passing:
            if time.monotonic() >= self._ends:
                raise
            # The old one will do for a moment.
            self._renew_at = min(self._ends, time.monotonic() + _SOON)

    def _renew(self) -> None:
        """Ask for a new token, with the file read anew: a person may just have mended it."""
        google = read_credentials(self._settings)
        asked = time.monotonic()
        try:
            google.refresh(self._transport)  # type: ignore[no-untyped-call]
        except exceptions.RefreshError as error:
            raise _refused(error) from None
        except exceptions.TransportError as error:
            raise Away(f"No access token could be had from {self._host} ({error}).") from None
        except Exception as error:  # noqa: BLE001 - google-auth trusts the server's words, which may be any page's
            raise Away(f"{self._host} answers with what is no access token ({type(error).__name__}).") from None
        token = google.token
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            # It is not shown: but for a stray character it may be good.
            raise Away(f"{self._host} answers with what is no access token.")
        # google-auth counts the last minutes of a token as over, and a short-lived one as never good.
        life = (google.expiry - _utcnow()).total_seconds() if google.expiry else _USUAL_LIFE
        self._ends, self._renew_at = asked + life, asked + _SHARE * life
        self._bearer = Bearer(self._bearer.number + 1, token)


def _utcnow() -> datetime:
    # Without a zone, as google-auth has its expiry.
    return datetime.now(UTC).replace(tzinfo=None)


def read_credentials(settings: GrinSettings) -> Google:
    """The credentials in grin.credentials_file; Halt says what is wrong with the file and how to mend it."""
    return _made(read_info(settings), settings)


def read_info(settings: GrinSettings) -> dict[str, Any]:
    """What stands in grin.credentials_file, secrets included; Halt when it cannot be used."""
    if settings.credentials_file is None:
        raise Halt("There are no Google credentials: grin.credentials_file is not set.", _CURE)
    _check_mode(settings.credentials_file)
    return _parsed(settings.credentials_file)


def _cure(error: OSError) -> str:
    return f"Let it belong to {ourselves()}." if error.errno == errno.EACCES else _CURE


def _check_mode(file: Path) -> None:
    try:
        info = file.stat()
    except OSError as error:
        raise Halt(f"The credentials file {file} cannot be read: {error.strerror}.", _cure(error)) from None
    if not stat.S_ISREG(info.st_mode):
        raise Halt(f"The credentials file {file} is not a file.", _CURE)
    # Kubernetes shows a secret as root's file, readable through the pod's own group; that cannot be narrowed.
    mounted = info.st_uid == 0 != os.geteuid() and stat.S_IMODE(info.st_mode) in {0o440, 0o640}
    if info.st_mode & 0o077 and not mounted:
        reason = f"The credentials file {file} can be read or changed by others (mode {stat.S_IMODE(info.st_mode):o})."
        raise Halt(reason, f"Run: chmod 600 {file}")


def _parsed(file: Path) -> dict[str, Any]:
    try:
        info = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise Halt(f"The credentials file {file} cannot be read: {error.strerror}.", _cure(error)) from None
    except (ValueError, RecursionError):
        raise Halt(f"The credentials file {file} is not JSON.", _CURE) from None
    if not isinstance(info, dict):
        raise Halt(f"The credentials file {file} holds no JSON object.", _CURE)
    return info


def _made(info: dict[str, Any], settings: GrinSettings) -> Google:
    file = settings.credentials_file
    if {"installed", "web"} & set(info):
        cure = "Run `grin-pipeline auth login --client-secret FILE` with it; grin.credentials_file names a new file."
        raise Halt(
            f"The credentials file {file} is a client's secret: it stands for a program, and for no person yet.", cure
        )
    kind = info.get("type", PERSON)
    if kind not in (SERVICE, PERSON):
        raise Halt(f"The credentials file {file} is of the kind {kind!a:.60}, which GRIN does not take.", _CURE)
    try:
        return _service_account(info, settings) if kind == SERVICE else _person(info, settings)
    except KeyError as error:
        raise Halt(f"The credentials file {file} has no {error.args[0]}.", _CURE) from None
    except (ValueError, exceptions.GoogleAuthError):
        raise Halt(f"The key in the credentials file {file} is incomplete or damaged.", _CURE) from None


def _service_account(info: dict[str, Any], settings: GrinSettings) -> Google:
    make: Callable[..., Google] = service_account.Credentials.from_service_account_info
    return make({**info, "token_uri": settings.token_uri}, scopes=SCOPES)


def _person(info: dict[str, Any], settings: GrinSettings) -> Google:
    members = {name: _text(info, name) for name in ("refresh_token", "client_id", "client_secret")}
    make: Callable[..., Google] = person.Credentials
    return make(token=None, token_uri=settings.token_uri, scopes=_scopes(info), **members)


def _text(info: dict[str, Any], name: str) -> str:
    value = info.get(name)
    if not isinstance(value, str) or not value:
        raise KeyError(name)
    return value


def _scopes(info: dict[str, Any]) -> list[str] | None:
    """What the person has agreed to, if the file says it: Google refuses to renew for more than that."""
    scopes = info.get("scopes")
    found = scopes.split() if isinstance(scopes, str) else scopes if isinstance(scopes, list) else []
    return [str(scope) for scope in found] or None


def _refused(error: exceptions.RefreshError) -> Halt | Passing:
    answer = error.args[1] if len(error.args) > 1 and isinstance(error.args[1], dict) else {}
    code = str(answer.get("error", "no reason given"))[:60]
    if error.retryable:
        return Away(f"Google gives no access token just now ({code}).")
    cure = "Make new credentials (the consent may be withdrawn or the key deleted) and put them into the file: a person"
    cure += " by `grin-pipeline auth login`. A key is refused, too, where this machine's clock is wrong by minutes."
    return Halt(f"Google refuses the credentials ({code}).", cure)
