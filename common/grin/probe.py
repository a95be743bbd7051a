"""The cheapest question to GRIN: does it know us, and does it let us in? And what stands in the credentials file."""

from __future__ import annotations

import stat
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

import httpx

from common.errors import Halt, StageError
from common.grin.answers import judged, named
from common.grin.connections import client
from common.grin.credentials import PERSON, AccessToken, read_info
from common.grin.errors import LoginPage, Passing
from common.grin.rate import RateLimit
from common.grin.session import is_login
from common.settings import GrinSettings, Settings

_TIMEOUT = 30.0
_LOGIN_CURE = "See that the credentials are of an account that GRIN knows: `grin-pipeline auth status` shows whose."


@dataclass(frozen=True)
class Verdict:
    """How it went; `verdict` is one word for programs, `status` GRIN's HTTP status, None without an answer."""

    verdict: str
    reason: str
    cure: str = ""
    status: int | None = None

    @property
    def good(self) -> bool:
        """Whether GRIN lets us in."""
        return self.verdict == "in"

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self)


def probe(settings: Settings) -> Verdict:
    """Ask for one line of the directory's summary, without following a redirect, for at most 30 seconds a step."""
    grin, library = settings.grin, settings.global_.library
    with client(httpx.Timeout(_TIMEOUT)) as http:
        token = AccessToken(grin, http, lambda *_: None)
        try:
            value = token.value()
        except Passing as error:
            return Verdict("unreachable", error.reason, error.cure)
        except StageError as error:
            return Verdict("no_credentials", error.reason, error.cure)
        try:
            RateLimit(grin.requests_per_second, settings.global_.pipeline_dir).wait()
        except StageError as error:
            return Verdict("no_board", error.reason, error.cure)
        url = f"{grin.base_url}/{quote(library, safe='')}/?format=text&result_count=1"
        try:
            with http.stream("GET", url, headers={"Authorization": f"Bearer {value}"}) as response:
                return _verdict(response, library)
        except httpx.RequestError as error:
            cure = "See whether this machine can reach the internet, or needs a proxy (HTTPS_PROXY)."
            return Verdict("unreachable", f"GRIN at {httpx.URL(url).host} cannot be reached ({named(error)}).", cure)


def _verdict(response: httpx.Response, library: str) -> Verdict:
    code = response.status_code
    if response.has_redirect_location:
        return _redirected(response)
    try:
        answer = judged("probe", response, html_ok=True)
    except LoginPage:
        return Verdict("login", "GRIN shows its login page, even for a fresh access token.", _LOGIN_CURE, code)
    except Halt as error:
        return Verdict("not_on_the_list", error.reason, error.cure, code)
    except StageError as error:
        return Verdict("unavailable", error.reason, "Try again in some minutes.", code)
    return _answered(answer.status, library)


def _answered(code: int, library: str) -> Verdict:
    if code == 404:
        cure = "See whether global.library is the library's code at GRIN, in its upper and lower case."
        return Verdict("no_such_library", f"GRIN has no library {library} (404).", cure, code)
    if code != 200:
        return Verdict("unavailable", f"GRIN answers {code}.", "Try again in some minutes.", code)
    return Verdict("in", f"GRIN knows the account and shows it the library {library}.", "", code)


def _redirected(response: httpx.Response) -> Verdict:
    try:
        target = response.url.join(response.headers["Location"])
    except httpx.InvalidURL:
        target = httpx.URL("")
    if is_login(target):
        return Verdict("login", "GRIN wants a login, even for a fresh access token.", _LOGIN_CURE, response.status_code)
    where = f"{target.scheme}://{target.host}"
    cure = "See whether grin.base_url is right; the pipeline follows redirects to that host and to grin.allowed_hosts."
    return Verdict("redirected", f"GRIN redirects to {where}.", cure, response.status_code)


def describe(grin: GrinSettings) -> dict[str, Any]:
    """What the credentials file holds, without a secret, and whether a token is to be had for it now.

    Members: file, mode, kind, account, token (whether), expires_in (seconds), reason and cure (empty when all is well).
    """
    facts: dict[str, Any] = {"file": str(grin.credentials_file or ""), "mode": "", "kind": "", "account": ""}
    facts |= {"token": False, "expires_in": None, "reason": "", "cure": ""}
    try:
        if grin.credentials_file is not None and grin.credentials_file.exists():
            facts["mode"] = f"{stat.S_IMODE(grin.credentials_file.stat().st_mode):04o}"
        info = read_info(grin)
        facts |= _whose(info)
        with client(httpx.Timeout(_TIMEOUT)) as http:
            token = AccessToken(grin, http, lambda *_: None)
            token.refresh()
            facts |= {"token": True, "expires_in": round(token.expires_in())}
    except StageError as error:
        facts |= {"reason": error.reason, "cure": error.cure}
    return facts


def _whose(info: dict[str, Any]) -> dict[str, str]:
    if {"installed", "web"} & set(info):
        return {"kind": "client_secret", "account": ""}
    known = info.get("client_email") or info.get("account")
    account = str(known) if known else f"client {str(info.get('client_id', ''))[:12]}…"
    return {"kind": str(info.get("type", PERSON)), "account": account}
