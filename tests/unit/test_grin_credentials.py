"""Credentials from a file, and access tokens for them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from common.errors import Halt
from common.grin.client import GrinClient
from common.grin.credentials import AccessToken, read_credentials
from common.grin.errors import Passing
from common.settings import Settings
from tests.scripted import Reply, ScriptedGrin


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    """An HTTP client that is closed afterwards."""
    with httpx.Client() as client:
        yield client


def file_of(settings: Settings) -> Path:
    """The credentials file."""
    assert settings.grin.credentials_file is not None
    return settings.grin.credentials_file


def nobody(*_: str) -> None:
    """Listens and does nothing."""


def test_a_persons_refresh_token(tmp_path: Path, grin: ScriptedGrin, http: httpx.Client) -> None:
    """A refresh token becomes an access token at the configured address; it is asked for once."""
    requests: list[tuple[str, str]] = []
    token = AccessToken(grin.settings(tmp_path).grin, http, lambda *one: requests.append(one))
    assert [token.value(), token.value()] == ["token-1", "token-1"]
    assert requests == [("token", "200")]
    assert grin.seen[0].form["refresh_token"] == ["r3fresh"]


@pytest.mark.quirk("service-account")
def test_a_service_accounts_key(tmp_path: Path, grin: ScriptedGrin, http: httpx.Client) -> None:
    """A key signs its own request, and the configured address wins over the file's."""
    settings = grin.settings(tmp_path)
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    info = {"type": "service_account", "client_email": "robot@example.org", "private_key": key.decode()}
    file_of(settings).write_text(json.dumps({**info, "token_uri": "https://nowhere.invalid/token"}))
    assert AccessToken(settings.grin, http, nobody).value() == "token-1"
    assert grin.seen[0].form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]


def lasting(seconds: float, value: str) -> Reply:
    """A token endpoint's answer."""
    answer = {"access_token": value, "expires_in": seconds}
    return Reply(json.dumps(answer).encode(), headers={"Connection": "close"})


@pytest.mark.quirk("tokens-expire")
def test_an_expired_token_is_renewed(tmp_path: Path, grin: ScriptedGrin, http: httpx.Client) -> None:
    """A token that is about to end is not sent any more."""
    grin.token_reply = lasting(1, "short")
    token = AccessToken(grin.settings(tmp_path).grin, http, nobody)
    assert token.value() == "short"
    grin.token_reply = None
    time.sleep(0.85)
    assert token.value() == "token-1"


def test_a_token_of_seconds_is_used_while_it_lasts(tmp_path: Path, grin: ScriptedGrin, http: httpx.Client) -> None:
    """Five seconds are enough for many requests: a new token is asked for near its end, not before each of them."""
    grin.token_reply = lasting(5, "five")
    token = AccessToken(grin.settings(tmp_path).grin, http, nobody)
    assert {token.value() for _ in range(50)} == {"five"}
    assert len(grin.seen) == 1
    assert 3 < token.expires_in() <= 5


def test_threads_share_one_renewal(tmp_path: Path, grin: ScriptedGrin, http: httpx.Client) -> None:
    """However many find the token missing, or rejected, Google is asked once."""
    token = AccessToken(grin.settings(tmp_path).grin, http, nobody)
    with ThreadPoolExecutor(20) as pool:
        found = {bearer.number for bearer in pool.map(lambda _: token.current(), range(20))}
        list(pool.map(lambda _: token.refresh(1), range(20)))
    assert (found, len(grin.seen), token.value()) == ({1}, 2, "token-2")


def test_a_token_outlives_googles_absence(tmp_path: Path, http: httpx.Client) -> None:
    """When no new token is to be had near the end, the old one is used to its end, and then it is a passing fault."""
    with ScriptedGrin() as google:
        google.token_reply = lasting(1, "old")
        token = AccessToken(google.settings(tmp_path).grin, http, nobody)
        assert token.value() == "old"
    time.sleep(0.82)
    assert token.value() == "old"
    time.sleep(0.2)
    with pytest.raises(Passing, match="No access token"):
        token.value()


def answer(**members: object) -> bytes:
    """What a token endpoint may say."""
    return json.dumps({"access_token": "c4nary", "expires_in": 3600, **members}).encode()


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize(
    "body",
    [
        b"<html>The proxy wants a login</html>",
        b"[]",
        answer(expires_in="abc"),
        answer(expires_in=1e300),
        answer(access_token="c4nary\r\nEvil: y"),
        answer(access_token="c4nary\n"),
        answer(access_token="c4näry"),
        answer(access_token=""),
        answer(access_token=["c4nary"]),
    ],
)
def test_what_is_no_token_halts(tmp_path: Path, grin: ScriptedGrin, client: GrinClient, body: bytes) -> None:
    """A page of a proxy, or a token that no header can hold, is no book's fault, and is never shown."""
    grin.token_reply = Reply(body, headers={"Connection": "close"})
    with pytest.raises(Halt, match="no access token") as halted:
        client.download("B1", tmp_path / "B1.tar.gz.gpg")
    assert "c4n" not in f"{halted.value.reason} {halted.value.cure}"
    assert [seen.path for seen in grin.seen if "libraries" in seen.path] == []


def test_the_file_is_read_at_each_renewal(tmp_path: Path, grin: ScriptedGrin, http: httpx.Client) -> None:
    """What a person has put into the file meanwhile is what the next renewal sends."""
    settings = grin.settings(tmp_path)
    token = AccessToken(settings.grin, http, nobody)
    token.value()
    file_of(settings).write_text(file_of(settings).read_text().replace("r3fresh", "mended"))
    token.refresh()
    assert [seen.form["refresh_token"] for seen in grin.seen] == [["r3fresh"], ["mended"]]


@pytest.mark.quirk("authorised-user")
@pytest.mark.quirk("token-uri-of-the-file")
@pytest.mark.parametrize(
    ("more", "scope"),
    [
        ({"type": "authorized_user", "account": "", "universe_domain": "googleapis.com"}, None),
        ({"token": "ya29.x", "scopes": ["openid", "email"], "expiry": "2020-01-01T00:00:00Z"}, ["openid email"]),
        ({"token": None, "scopes": "openid email", "universe_domain": "googleapis.com"}, ["openid email"]),
    ],
)
def test_files_that_googles_tools_write(
    tmp_path: Path, grin: ScriptedGrin, http: httpx.Client, more: dict[str, object], scope: list[str] | None
) -> None:
    """A file of gcloud, or of google-auth's to_json, is taken; no more is asked for than the person agreed to."""
    settings = grin.settings(tmp_path)
    members = {"refresh_token": "r", "client_id": "i", "client_secret": "c", "token_uri": "https://nowhere.invalid/"}
    file_of(settings).write_text(json.dumps({**members, **more}))
    assert AccessToken(settings.grin, http, nobody).value() == "token-1"
    assert grin.seen[0].form.get("scope") == scope


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o606, 0o660])
def test_a_file_that_others_can_read(tmp_path: Path, grin: ScriptedGrin, mode: int) -> None:
    """Credentials are for their owner alone, and the cure is a command."""
    settings = grin.settings(tmp_path)
    file_of(settings).chmod(mode)
    if os.geteuid() != 0:
        pytest.skip("only root's own file shows the plain rule")
    with pytest.raises(Halt, match=f"mode {mode:o}") as caught:
        read_credentials(settings.grin)
    assert caught.value.cure == f"Run: chmod 600 {file_of(settings)}"


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_for_its_owner(tmp_path: Path, grin: ScriptedGrin, mode: int) -> None:
    """Owner-only modes are taken."""
    settings = grin.settings(tmp_path)
    file_of(settings).chmod(mode)
    read_credentials(settings.grin)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no json", "is not JSON"),
        ("[]", "holds no JSON object"),
        ("{}", "has no refresh_token"),
        ('{"refresh_token": null, "client_id": "i", "client_secret": "s3cret"}', "has no refresh_token"),
        ('{"type": []}', "of the kind"),
        ("[" * 100_000, "is not JSON"),
        ('{"type": "external_account", "audience": "s3cret"}', "of the kind 'external_account'"),
        ('{"installed": {"client_id": "i", "client_secret": "s3cret"}}', "is a client's secret"),
        ('{"web": {"client_id": "i", "client_secret": "s3cret"}}', "is a client's secret"),
        ('{"type": "service_account"}', "incomplete or damaged"),
        ('{"type": "service_account", "client_email": "a", "private_key": "s3cret"}', "incomplete or damaged"),
    ],
)
def test_a_file_that_holds_no_credentials(tmp_path: Path, grin: ScriptedGrin, text: str, reason: str) -> None:
    """What is wrong with the file is a sentence that shows nothing of its content."""
    settings = grin.settings(tmp_path)
    file_of(settings).write_text(text)
    with pytest.raises(Halt, match=reason) as caught:
        read_credentials(settings.grin)
    assert "s3cret" not in caught.value.reason


def test_no_file(tmp_path: Path, grin: ScriptedGrin) -> None:
    """A missing file and a missing setting halt with a sentence each."""
    settings = grin.settings(tmp_path)
    file_of(settings).unlink()
    with pytest.raises(Halt, match="cannot be read: No such file"):
        read_credentials(settings.grin)
    with pytest.raises(Halt, match="credentials_file is not set"):
        read_credentials(settings.grin.model_copy(update={"credentials_file": None}))


def test_a_refused_grant(tmp_path: Path, grin: ScriptedGrin, http: httpx.Client) -> None:
    """A withdrawn consent halts the stage, and says so without the token; mending the file is enough."""
    grin.token_reply = Reply(b'{"error": "invalid_grant", "error_description": "r3fresh is revoked"}', 400)
    token = AccessToken(grin.settings(tmp_path).grin, http, nobody)
    with pytest.raises(Halt, match="invalid_grant") as caught:
        token.value()
    assert "r3fresh" not in caught.value.reason
    grin.token_reply = None
    assert token.value() == "token-1"


def test_nobody_at_the_token_address(tmp_path: Path, grin: ScriptedGrin, http: httpx.Client) -> None:
    """A token endpoint that cannot be reached is a passing fault."""
    settings = grin.settings(tmp_path, token_uri="http://127.0.0.1:9/token")
    with pytest.raises(Passing, match=r"127\.0\.0\.1"):
        AccessToken(settings.grin, http, nobody).value()
