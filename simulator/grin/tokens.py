"""Google's part: the credentials of a person and of a service account, and the access tokens made from them."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import threading
import time
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from simulator.grin.consent import ConsentDesk

_EMAIL = "pipeline@simulator.iam.gserviceaccount.com"
_JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
# google-auth names Google's endpoint as the audience, whatever endpoint it was told to use.
_GOOGLE = "https://oauth2.googleapis.com/token"
_SCOPE = "https://www.googleapis.com/auth/userinfo.email"


class Refused(Exception):  # noqa: N818 - an answer of OAuth
    """No token; the message is OAuth's error code."""


class TokenOffice:
    """Gives access tokens out, for `lifetime` seconds each, and knows which of them hold."""

    def __init__(self, lifetime: float, person: Mapping[str, str] | None = None) -> None:
        self.token_uri = ""
        self.auth_uri = ""
        self._consents = ConsentDesk()
        self._lifetime = lifetime
        self._lock = threading.Lock()
        self._expiries: dict[str, float] = {}
        self._person = dict(person or _somebody())
        self._refresh_tokens = {self._person["refresh_token"]}

    def authorised_user(self) -> dict[str, str]:
        """The credentials file of a person who has given consent."""
        return {"type": "authorized_user", **self._person, "token_uri": self.token_uri}

    def client_secret(self) -> dict[str, dict[str, Any]]:
        """The file of an installed client, with which a person can be asked for consent."""
        names = {
            "client_id": self._person["client_id"],
            "project_id": "simulator",
            "redirect_uris": ["http://localhost"],
        }
        addresses = {"auth_uri": self.auth_uri, "token_uri": self.token_uri}
        return {"installed": {**names, "client_secret": self._person["client_secret"], **addresses}}

    def consent(self, query: Mapping[str, str], *, denied: bool = False) -> str:
        """Where a person who was asked for consent is sent; consent.Unfit where nobody can be sent back."""
        return self._consents.location(query, self._person["client_id"], denied=denied)

    def service_account(self) -> dict[str, str]:
        """The key file of a service account."""
        form, wrapping = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        pem = self._key.private_bytes(serialization.Encoding.PEM, form, wrapping)
        names = {"type": "service_account", "project_id": "simulator", "private_key_id": "1", "client_email": _EMAIL}
        return {**names, "private_key": pem.decode(), "token_uri": self.token_uri}

    def grant(self, form: Mapping[str, str]) -> dict[str, Any]:
        """The answer to a token request; Refused says why there is none."""
        kind = form.get("grant_type")
        if kind == "authorization_code":
            return self._exchanged(form)
        if kind == "refresh_token":
            self._check_client(form)
            self._check_refresh_token(form.get("refresh_token", ""))
        elif kind == _JWT:
            self._check_assertion(form.get("assertion", ""))
        else:
            raise Refused("unsupported_grant_type")
        return self._granted()

    def accepts(self, authorization: str) -> bool:
        """Whether an Authorization header carries a token that still holds."""
        with self._lock:
            return self._expiries.get(authorization.removeprefix("Bearer "), 0) > time.monotonic()

    def revoke_all(self) -> None:
        """Let every access token expire now."""
        with self._lock:
            self._expiries.clear()

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def _issue(self) -> str:
        token = "ya29.sim-" + secrets.token_urlsafe(32)
        with self._lock:
            self._expiries[token] = time.monotonic() + self._lifetime
        return token

    def _granted(self) -> dict[str, Any]:
        return {"access_token": self._issue(), "expires_in": int(self._lifetime), "token_type": "Bearer"}

    def _exchanged(self, form: Mapping[str, str]) -> dict[str, Any]:
        self._check_client(form)
        consent = self._consents.take(form.get("code", ""))
        if consent is None or not consent.matches(form.get("code_verifier", "")):
            raise Refused("invalid_grant")
        if consent.redirect_uri != form.get("redirect_uri"):
            raise Refused("redirect_uri_mismatch")
        granted = {**self._granted(), "scope": consent.scope}
        if not consent.offline:
            return granted
        with self._lock:
            self._refresh_tokens.add(token := _refresh_token())
        return {**granted, "refresh_token": token}

    def _check_client(self, form: Mapping[str, str]) -> None:
        for name in ("client_id", "client_secret"):
            if not secrets.compare_digest(form.get(name, "").encode(), self._person[name].encode()):
                raise Refused("invalid_client")

    def _check_refresh_token(self, told: str) -> None:
        with self._lock:
            if told not in self._refresh_tokens:
                raise Refused("invalid_grant")

    def _check_assertion(self, assertion: str) -> None:
        claims = self._claims(assertion)
        if claims.get("iss") != _EMAIL or claims.get("aud") not in {_GOOGLE, self.token_uri}:
            raise Refused("invalid_grant")
        if not claims.get("iat", 0) - 60 <= time.time() <= claims.get("exp", 0):
            raise Refused("invalid_grant")
        if _SCOPE not in claims.get("scope", "").split():
            raise Refused("invalid_scope")

    def _claims(self, assertion: str) -> dict[str, Any]:
        try:
            signed, signature = assertion.rsplit(".", 1)
            scheme = padding.PKCS1v15()
            self._key.public_key().verify(_decoded(signature), signed.encode(), scheme, hashes.SHA256())
            claims: dict[str, Any] = json.loads(_decoded(signed.split(".")[1]))
        except (ValueError, IndexError, binascii.Error, InvalidSignature):
            raise Refused("invalid_grant") from None
        return claims


def _somebody() -> dict[str, str]:
    return {
        "client_id": f"{secrets.token_hex(8)}.apps.googleusercontent.com",
        "client_secret": secrets.token_urlsafe(24),
        "refresh_token": _refresh_token(),
    }


def _refresh_token() -> str:
    return "1//sim-" + secrets.token_urlsafe(32)


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
