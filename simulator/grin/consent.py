"""Google's page of consent: a person's client is sent back with a code, which is changed once for tokens."""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

_LIFETIME = 600
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Unfit(Exception):  # noqa: N818 - what Google shows on a page of its own, for nobody can be sent back
    """A request for consent that Google answers itself; the message is OAuth's error code."""


@dataclass(frozen=True)
class Consent:
    """What a code stands for; `challenge` is empty without PKCE, `expiry` by the monotonic clock."""

    redirect_uri: str
    scope: str
    challenge: str
    method: str
    offline: bool
    expiry: float

    def matches(self, verifier: str) -> bool:
        """Whether this is what the challenge was made from."""
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        told = digest if self.method == "S256" else verifier
        return not self.challenge or secrets.compare_digest(told.encode(), self.challenge.encode())


class ConsentDesk:
    """Gives codes for consents, and takes each code once, within ten minutes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._codes: dict[str, Consent] = {}

    def location(self, query: Mapping[str, str], client_id: str, *, denied: bool) -> str:
        """Where to send the person's browser, with a code or with `access_denied`; Unfit for a wrong request."""
        _check(query, client_id)
        answer = {"error": "access_denied"} if denied else {"code": self._code(query), "scope": query["scope"]}
        told = urlencode({**({"state": query["state"]} if "state" in query else {}), **answer})
        uri = query["redirect_uri"]
        return f"{uri}{'&' if '?' in uri else '?'}{told}"

    def take(self, code: str) -> Consent | None:
        """What the code stands for, the first time only; None for one that does not hold."""
        with self._lock:
            consent = self._codes.pop(code, None)
        return consent if consent and consent.expiry > time.monotonic() else None

    def _code(self, query: Mapping[str, str]) -> str:
        code = "4/sim-" + secrets.token_urlsafe(32)
        consent = Consent(
            query["redirect_uri"],
            query["scope"],
            query.get("code_challenge", ""),
            query.get("code_challenge_method", "plain"),
            query.get("access_type") == "offline",
            time.monotonic() + _LIFETIME,
        )
        with self._lock:
            self._codes[code] = consent
        return code


def _check(query: Mapping[str, str], client_id: str) -> None:
    if not secrets.compare_digest(query.get("client_id", "").encode(), client_id.encode()):
        raise Unfit("invalid_client")
    if query.get("response_type") != "code":
        raise Unfit("unsupported_response_type")
    uri = urlsplit(query.get("redirect_uri", ""))
    # An installed client may be sent to this machine only; GRIN's older way by copied codes is gone.
    if uri.scheme != "http" or uri.hostname not in _LOOPBACK or uri.fragment:
        raise Unfit("redirect_uri_mismatch")
    if not query.get("scope", "").split():
        raise Unfit("invalid_scope")
    if query.get("code_challenge_method", "plain") not in {"plain", "S256"}:
        raise Unfit("invalid_request")
