"""The simulated page of consent and the exchange of its code, as an installed client goes through them."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from simulator.grin.faults import Fault, Kind
from tests.simulator.grin_server import LIBRARY, Served

VERIFIER = "a-verifier-of-the-forty-three-characters-or-more-0123456789"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
BACK = "http://127.0.0.1:58432/"
SCOPES = "openid https://www.googleapis.com/auth/userinfo.email"


@pytest.fixture
def installed(grin: Served, tmp_path: Path) -> dict[str, Any]:
    """The installed client of a client secret file."""
    path = grin.server.client_secret_file(tmp_path / "client_secret.json")
    assert path.stat().st_mode & 0o777 == 0o600
    client: dict[str, Any] = json.loads(path.read_text())["installed"]
    return client


def ask(client: dict[str, Any], **change: str) -> httpx.Response:
    """The answer of the page of consent; an empty value leaves a parameter out."""
    query = {"client_id": client["client_id"], "redirect_uri": BACK, "response_type": "code", "scope": SCOPES}
    query |= {"state": "s1", "code_challenge": CHALLENGE, "code_challenge_method": "S256", "access_type": "offline"}
    sent = {name: value for name, value in {**query, "prompt": "consent", **change}.items() if value}
    return httpx.get(client["auth_uri"], params=sent, verify=False)


def told(answer: httpx.Response) -> dict[str, str]:
    """What the redirect's address tells."""
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(BACK)
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}


def exchange(client: dict[str, Any], issued: str, **change: str) -> httpx.Response:
    """The answer of the token endpoint to a code."""
    form = {"grant_type": "authorization_code", "code": issued, "redirect_uri": BACK, "code_verifier": VERIFIER}
    names = {name: client[name] for name in ("client_id", "client_secret")}
    return httpx.post(client["token_uri"], data={**form, **names, **change}, verify=False)


@pytest.mark.quirk("authorised-user")
def test_consent_gives_tokens_that_work(grin: Served, installed: dict[str, Any]) -> None:
    """The code is changed for an access token and a refresh token, both good; it works only once."""
    seen = told(ask(installed))
    assert (seen["state"], seen["scope"]) == ("s1", SCOPES)
    granted = exchange(installed, seen["code"]).json()
    assert (granted["token_type"], granted["scope"]) == ("Bearer", SCOPES)
    form = {"grant_type": "refresh_token", "refresh_token": granted["refresh_token"]}
    form |= {name: installed[name] for name in ("client_id", "client_secret")}
    renewed = httpx.post(installed["token_uri"], data=form, verify=False).json()
    for token in (granted["access_token"], renewed["access_token"]):
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.get(f"{grin.server.url}/{LIBRARY}/?format=text", headers=headers, verify=False)
        assert answer.status_code == 200
    again = exchange(installed, seen["code"])
    assert (again.status_code, again.json()) == (400, {"error": "invalid_grant"})


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"code_verifier": "another"}, 400, "invalid_grant"),
        ({"code_verifier": CHALLENGE}, 400, "invalid_grant"),
        ({"code": "4/made-up"}, 400, "invalid_grant"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"redirect_uri": "http://127.0.0.1:1/"}, 400, "redirect_uri_mismatch"),
    ],
)
def test_codes_that_are_refused(installed: dict[str, Any], change: dict[str, str], status: int, error: str) -> None:
    """The verifier, the client and the address must be those of the request for consent."""
    answer = exchange(installed, told(ask(installed))["code"], **change)
    assert (answer.status_code, answer.json()) == (status, {"error": error})


def test_without_offline_access_there_is_no_refresh_token(installed: dict[str, Any]) -> None:
    """Only access_type=offline gives a refresh token; PKCE and a state are no must."""
    seen = told(ask(installed, access_type="", code_challenge="", code_challenge_method="", state=""))
    assert "state" not in seen
    granted = exchange(installed, seen["code"], code_verifier="").json()
    assert "access_token" in granted
    assert "refresh_token" not in granted


def test_a_person_who_says_no(grin: Served, installed: dict[str, Any]) -> None:
    """With the fault `deny` the client is sent back with access_denied, the next time with a code."""
    grin.server.faults.set([Fault(Kind.DENY, "auth")])
    assert told(ask(installed)) == {"state": "s1", "error": "access_denied"}
    assert "code" in told(ask(installed))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"client_id": "somebody"}, "invalid_client"),
        ({"redirect_uri": "https://elsewhere.test/"}, "redirect_uri_mismatch"),
        ({"redirect_uri": "http://elsewhere.test/"}, "redirect_uri_mismatch"),
        ({"redirect_uri": "urn:ietf:wg:oauth:2.0:oob"}, "redirect_uri_mismatch"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": ""}, "invalid_scope"),
        ({"code_challenge_method": "S512"}, "invalid_request"),
    ],
)
def test_wrong_requests_for_consent(installed: dict[str, Any], change: dict[str, str], error: str) -> None:
    """What is wrong with the client itself is a page of Google's, and nobody is sent anywhere."""
    answer = ask(installed, **change)
    assert (answer.status_code, "Location" in answer.headers) == (400, False)
    assert error in answer.text
