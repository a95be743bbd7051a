"""What the environment says of stores, and paths and URLs that can be none: told before the library crashes over it."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import Halt
from common.store import is_url, open_bucket, wrong
from common.store.connect import connect


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A store that could be reached, and nothing of the person who runs the tests."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT", "AWS_CHECKSUM_ALGORITHM", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION"):
        monkeypatch.setenv(f"AWS_{name}", "known")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "HTTP://localhost:8333/")


def refusal(url: str = "s3://books/x") -> str:
    """Why there is no client, and what helps."""
    with pytest.raises(Halt) as halted:
        connect(url)
    assert halted.value.cure
    return f"{halted.value.reason} {halted.value.cure}"


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"])
def test_a_line_end_in_a_variable_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A secret's file ends with one; the value is never shown."""
    connect("s3://books/x")
    monkeypatch.setenv(name, "canary\n")
    told = refusal()
    assert name in told and "line end" in told
    assert "canary" not in told


@pytest.mark.parametrize(
    "endpoint",
    [
        "localhost:8333",
        "http://",
        "http://a b",
        "http://host:99999",
        "http://host:x",
        "ftp://host",
        "http://[::1",
        "http://me:x@host",
    ],
)
def test_an_endpoint_that_is_no_server_is_told(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """The library would crash over it at the first request; the variable is named, its value may hold a key."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert "AWS_ENDPOINT_URL, for S3, is no URL of a server. Write it as https://HOST" in refusal()


@pytest.mark.parametrize(("url", "name"), [("gs://books", "GOOGLE_BASE_URL"), ("az://books", "AZURE_STORAGE_ENDPOINT")])
def test_so_it_is_elsewhere(monkeypatch: pytest.MonkeyPatch, url: str, name: str) -> None:
    """Each store has its own variable for it."""
    monkeypatch.setenv(name, "localhost:4443")
    assert name in refusal(url)


def test_a_profile_that_names_no_server_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The endpoint may stand there, too."""
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[default]\nendpoint_url = localhost:8333\n")
    assert "endpoint_url of the profile" in refusal()


def test_a_checksum_that_nobody_knows_is_told_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not as missing keys."""
    monkeypatch.setenv("AWS_CHECKSUM_ALGORITHM", "MD5")
    assert "Set it to SHA256" in refusal()


@pytest.mark.parametrize("path", ["s3:/books/x", "s3:books", "GS:/x", "az:", "~/done", "~ann/done"])
def test_a_slip_of_the_pen_is_no_folder(tmp_path: Path, path: str) -> None:
    """A folder of that name beside the configuration is what nobody means."""
    assert not is_url(path) and wrong(path)
    with pytest.raises(Halt, match=r"Write (it as|the whole path)"):
        open_bucket(path, tmp_path)


@pytest.mark.parametrize("path", ["done", "/srv/done", "./s3:/x", "a~b", "s3", "C:/done"])
def test_a_path_is_a_path(tmp_path: Path, path: str) -> None:
    """Whatever else it looks like."""
    assert wrong(path) == ""
    assert open_bucket(path, tmp_path).name == str(tmp_path / path)
