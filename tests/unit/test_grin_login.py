"""A person's consent, against a Google that is played by script; the browser is an HTTP client."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from common.errors import ConfigError, Halt
from common.grin import login
from common.grin.credentials import read_credentials
from common.grin.login import Client, Consent, Door, OtherLogin, check_target, read_client, wait_for_code
from common.grin.probe import describe, probe
from common.settings import GrinSettings, Settings
from tests.scripted import Reply, ScriptedGrin, page, redirect

CLIENT = Client("id.apps.example", "cl1ent-s3cret")


@pytest.fixture
def google() -> Iterator[ScriptedGrin]:
    """A server with a token endpoint."""
    with ScriptedGrin() as server:
        yield server


@pytest.fixture
def door() -> Iterator[Door]:
    """A port that the browser comes back to."""
    with Door("127.0.0.1", 0) as opened:
        yield opened


@pytest.fixture
def settings(google: ScriptedGrin, tmp_path: Path) -> GrinSettings:
    """Addresses of that Google."""
    return google.settings(tmp_path, auth_uri=f"{google.url}/auth").grin


def members(url: str) -> dict[str, str]:
    """The parameters of an address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def answer(consent: Consent, **more: str) -> str:
    """What Google appends to the address that it sends the browser to."""
    return "?" + urlencode({"state": members(consent.url())["state"], **more})


def token_reply(**more: object) -> Reply:
    """What the token endpoint gives for a code."""
    claims = base64.urlsafe_b64encode(json.dumps({"email": "ann@example.org"}).encode()).rstrip(b"=").decode()
    told = {
        "access_token": "a",
        "expires_in": 3600,
        "refresh_token": "r3",
        "id_token": f"x.{claims}.x",
        "scope": "openid",
    }
    return Reply(json.dumps({**told, **more}).encode())


def test_the_address_that_a_person_opens(settings: GrinSettings) -> None:
    """It asks for identity alone, for good, with PKCE and a state that is new each time; no secret is in it."""
    first, second = (Consent(settings, CLIENT, "http://127.0.0.1:1").url() for _ in range(2))
    asked = members(first)
    assert first.startswith(settings.auth_uri + "?")
    assert (asked["access_type"], asked["prompt"], asked["code_challenge_method"]) == ("offline", "consent", "S256")
    assert asked["scope"].split()[0] == "openid"
    assert all(asked[name] != members(second)[name] for name in ("state", "code_challenge"))
    assert CLIENT.client_secret not in first


def test_a_browser_that_comes_back(settings: GrinSettings, google: ScriptedGrin, door: Door) -> None:
    """The code is taken from the browser, which gets a friendly page, and changed for a refresh token with PKCE."""
    consent = Consent(settings, CLIENT, door.uri)
    pages: list[httpx.Response] = []

    def browse() -> None:
        pages.append(httpx.get(f"{door.uri}/favicon.ico"))
        pages.append(httpx.get(door.uri + "/" + answer(consent, code="c0de")))

    thread = threading.Timer(0.1, browse)
    thread.start()
    assert wait_for_code(door, consent, 10, print, None) == "c0de"
    thread.join()
    assert [one.status_code for one in pages] == [404, 200]
    assert "close this page" in pages[1].text
    google.token_reply = token_reply()
    made = consent.credentials("c0de")
    assert (made["refresh_token"], made["account"], made["scopes"]) == ("r3", "ann@example.org", ["openid"])
    form = google.seen[-1].form
    digest = hashlib.sha256(form["code_verifier"][0].encode()).digest()
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == members(consent.url())["code_challenge"]
    assert (form["redirect_uri"], form["code"]) == ([door.uri], ["c0de"])


def test_answers_of_another_login(settings: GrinSettings, door: Door) -> None:
    """A wrong state is told to the browser and to the terminal, and the right answer may still come."""
    consent = Consent(settings, CLIENT, door.uri)
    said: list[str] = []

    def browse() -> None:
        assert httpx.get(f"{door.uri}/?state=other&code=evil").status_code == 400
        httpx.get(door.uri + "/" + answer(consent, code="good"))

    thread = threading.Timer(0.1, browse)
    thread.start()
    assert wait_for_code(door, consent, 10, said.append, None) == "good"
    thread.join()
    assert len(said) == 1
    assert "its state is another one" in said[0]


def test_a_pasted_address(settings: GrinSettings, door: Door) -> None:
    """Where the browser cannot reach the port, the address that it shows does as well; a wrong one is told."""
    consent, said = Consent(settings, CLIENT, door.uri), list[str]()
    read, write = os.pipe()
    os.write(write, f"\nnonsense\nhttp://[abc\nhttp://127.0.0.1:9/{answer(consent, code='pasted')}\n".encode())
    with os.fdopen(read) as typed:
        assert wait_for_code(door, consent, 10, said.append, typed) == "pasted"
    os.close(write)
    assert len(said) == 2


def test_a_browser_that_hangs_up(settings: GrinSettings, door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    """A connection that is reset before the page is out costs nobody the consent, and says nothing in the terminal."""
    consent = Consent(settings, CLIENT, door.uri)

    def browse() -> None:
        with socket.create_connection(("127.0.0.1", httpx.URL(door.uri).port or 0)) as browser:
            browser.sendall(f"GET /{answer(consent, code='good')} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    thread = threading.Timer(0.1, browse)
    thread.start()
    assert wait_for_code(door, consent, 10, lambda _: None, None) == "good"
    thread.join()
    time.sleep(0.2)
    assert capsys.readouterr().err == ""


def test_a_refusal_and_silence(settings: GrinSettings, door: Door) -> None:
    """Somebody who says no, an error of Google's, and nobody at all end with a sentence each."""
    consent = Consent(settings, CLIENT, door.uri)
    with pytest.raises(Halt, match="consent was refused"):
        consent.code(answer(consent, error="access_denied"))
    with pytest.raises(Halt, match=r"no code \(admin_policy_enforced\)"):
        consent.code(answer(consent, error="admin_policy_enforced"))
    with pytest.raises(Halt, match="no code"):
        consent.code(answer(consent))
    with pytest.raises(OtherLogin):
        consent.code("?code=x")
    with pytest.raises(Halt, match=r"Nobody has given consent within 0\.1 seconds"):
        wait_for_code(door, consent, 0.1, print, None)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (token_reply(refresh_token=None), "no refresh token"),
        (Reply(b'{"error": "invalid_grant", "error_description": "cl1ent-s3cret"}', 400), "400, invalid_grant"),
        (Reply(b"<html>", 502), "502, no reason given"),
        (Reply(b"[]"), "200, no reason given"),
    ],
)
def test_a_code_that_brings_nothing(settings: GrinSettings, google: ScriptedGrin, reply: Reply, reason: str) -> None:
    """Whatever Google says instead of a refresh token becomes a sentence without a secret."""
    google.token_reply = reply
    with pytest.raises(Halt, match=reason) as caught:
        Consent(settings, CLIENT, "http://127.0.0.1:1").credentials("c0de")
    assert CLIENT.client_secret not in caught.value.reason + caught.value.cure


def test_nobody_changes_codes(settings: GrinSettings) -> None:
    """A token endpoint that cannot be reached is named."""
    away = settings.model_copy(update={"token_uri": "http://127.0.0.1:9/token"})
    with pytest.raises(Halt, match=r"127\.0\.0\.1 cannot be reached"):
        Consent(away, CLIENT, "http://127.0.0.1:1").credentials("c0de")


def test_the_file_that_is_written(settings: GrinSettings, tmp_path: Path) -> None:
    """It is for its owner alone, whatever was there before, and is read as credentials."""
    file = settings.credentials_file
    assert file is not None
    file.chmod(0o644)
    login.write(file, {"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "r"})
    assert file.stat().st_mode & 0o777 == 0o600
    read_credentials(settings)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_folder_for_the_file(tmp_path: Path) -> None:
    """A folder that is not there yet is made for the owner alone."""
    file = check_target(tmp_path / "secrets" / "credentials.json", tmp_path / "client.json")
    login.write(file, {})
    assert file.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["installed", "web"])
def test_a_clients_secret(tmp_path: Path, kind: str) -> None:
    """Both kinds of Google's file are read; the secret is in no repr."""
    file = tmp_path / "client_secret.json"
    file.write_text(json.dumps({kind: {"client_id": "i", "client_secret": "s3cret", "project_id": "p"}}))
    client = read_client(file)
    assert (client.client_id, client.client_secret, "s3cret" in repr(client)) == ("i", "s3cret", False)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"installed": []}', '{"type": "service_account"}', '{"web": {"client_id": "i"}}']
)
def test_a_file_that_is_no_clients_secret(tmp_path: Path, text: str) -> None:
    """Anything else is a problem of the call."""
    (tmp_path / "x").write_text(text)
    with pytest.raises(ConfigError, match="The client's secret"):
        read_client(tmp_path / "x")


def test_what_must_not_be_written_over(tmp_path: Path) -> None:
    """A service account's key, the client's secret itself, and a folder that is not there are refused beforehand."""
    secret, key = tmp_path / "client.json", tmp_path / "key.json"
    secret.write_text("{}")
    key.write_text('{"type": "service_account"}')
    for target, problem in (
        (None, "Set grin.credentials_file"),
        (secret, "name another file"),
        (key, "service account's key"),
        (secret / "x", "no folder that may be written to"),
    ):
        with pytest.raises(ConfigError, match=problem):
            check_target(target, secret)
    assert check_target(tmp_path / "new.json", secret) == tmp_path / "new.json"


def test_a_port_that_is_taken(door: Door) -> None:
    """The cure is another port."""
    with pytest.raises(ConfigError, match="--port"):
        Door("127.0.0.1", int(door.uri.rpartition(":")[2]))


# --- status and probe ---


def whole(google: ScriptedGrin, tmp_path: Path, **grin: object) -> Settings:
    """Settings for that GRIN."""
    return google.settings(tmp_path, **grin)


@pytest.mark.quirk("cheapest-probe")
@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (Reply(b"All Books\t12\n"), "in"),
        (Reply(status=403), "not_on_the_list"),
        (Reply(status=401), "login"),
        (page(), "login"),
        (redirect("https://accounts.google.com/ServiceLogin?x"), "login"),
        (redirect("https://elsewhere.example/x"), "redirected"),
        (Reply(status=404), "no_such_library"),
        (Reply(status=503), "unavailable"),
        (Reply(b"<html>Your request is unavailable.</html>"), "unavailable"),
    ],
)
def test_the_probe(google: ScriptedGrin, tmp_path: Path, reply: Reply, verdict: str) -> None:
    """One small question, no redirect followed, and each answer has its verdict, its reason and its cure."""
    google.at("", reply)
    found = probe(whole(google, tmp_path))
    assert (found.verdict, found.good) == (verdict, verdict == "in")
    assert found.reason
    assert bool(found.cure) != found.good
    assert google.asked("")[0].query == {"format": ["text"], "result_count": ["1"]}
    assert len([seen for seen in google.seen if seen.path != "/token"]) == 1


def test_a_probe_that_gets_nowhere(google: ScriptedGrin, tmp_path: Path) -> None:
    """No server, no Google, no file: a verdict each."""
    assert probe(whole(google, tmp_path, base_url="http://127.0.0.1:9/l")).verdict == "unreachable"
    assert probe(whole(google, tmp_path, token_uri="http://127.0.0.1:9/t")).verdict == "unreachable"
    assert probe(whole(google, tmp_path, credentials_file=tmp_path / "none")).verdict == "no_credentials"


def test_what_status_tells(google: ScriptedGrin, tmp_path: Path) -> None:
    """Kind, account, mode and the token's life; and nothing that is secret."""
    facts = describe(whole(google, tmp_path).grin)
    assert (facts["kind"], facts["account"], facts["mode"]) == ("authorized_user", "client id…", "0600")
    assert facts["token"]
    assert 3590 <= facts["expires_in"] <= 3600
    assert not {"r3fresh", "s3cret", "token-1"} & {str(value) for value in facts.values()}


def test_what_status_tells_of_a_service_account(google: ScriptedGrin, tmp_path: Path) -> None:
    """The robot's address, which is what Google's list must have, even when its key is damaged."""
    grin = whole(google, tmp_path).grin
    assert grin.credentials_file is not None
    key = {"type": "service_account", "client_email": "robot@example.org", "private_key": "s3cret"}
    grin.credentials_file.write_text(json.dumps(key))
    facts = describe(grin)
    assert (facts["kind"], facts["account"], facts["token"]) == ("service_account", "robot@example.org", False)
    assert "damaged" in facts["reason"]
    assert "s3cret" not in str(facts)


def test_what_status_tells_of_trouble(google: ScriptedGrin, tmp_path: Path) -> None:
    """A file that is missing or open to others, and a Google that refuses."""
    grin = whole(google, tmp_path).grin
    google.token_reply = Reply(b'{"error": "invalid_grant"}', 400)
    assert "invalid_grant" in describe(grin)["reason"]
    assert grin.credentials_file is not None
    grin.credentials_file.chmod(0o644)
    facts = describe(grin)
    assert (facts["mode"], facts["token"]) == ("0644", False)
    assert facts["cure"].startswith("Run: chmod 600")
    grin.credentials_file.chmod(0o600)
    grin.credentials_file.write_text('{"installed": {"client_id": "i", "client_secret": "s"}}')
    facts = describe(grin)
    assert (facts["kind"], "auth login" in facts["cure"]) == ("client_secret", True)
    assert "not set" in describe(grin.model_copy(update={"credentials_file": None}))["reason"]
