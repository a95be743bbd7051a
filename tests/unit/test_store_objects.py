"""The done bucket in an object store, as whoever reads it sees it; and how its client is found."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import certifi
import obstore
import pytest
from obstore.store import S3Store

from common.errors import Halt
from common.store import Bucket, connect, open_bucket
from tests.objects.server import Server

KEY, SECRET = "AKCANARY01", "canary0123456789"


def certifi_pem() -> str:
    """A certificate of an authority."""
    return Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Nothing of the person who runs the tests leads to a store."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST"):
        monkeypatch.delenv(name, raising=False)
    yield


@pytest.fixture
def bucket(s3_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bucket:
    """A bucket with an object, and one beside its prefix."""
    for name, value in s3_server.environ().items():
        monkeypatch.setenv(name, value)
    url = s3_server.url()
    store = s3_server.store(url.split("/", 3)[3])
    obstore.put(store, "B1/a.txt", b"text")
    obstore.put(store, "B1/.hidden", b"text")
    obstore.put(s3_server.store(f"{url.split('/', 3)[3]}-beside"), "B2/a.txt", b"text")
    return open_bucket(url, tmp_path)


def test_an_object_is_described_and_read(bucket: Bucket) -> None:
    """Size, SHA-256 and the first bytes; None for what is not there."""
    found = bucket.describe("B1/a.txt")
    assert found is not None
    assert (found.size, found.sha256) == (4, hashlib.sha256(b"text").hexdigest())
    assert (bucket.size("B1/a.txt"), bucket.read("B1/a.txt", 2), bucket.read("B1/a.txt", 99)) == (4, b"te", b"text")
    assert (bucket.size("B1/b"), bucket.describe("B1/b"), bucket.read("B1/b", 1)) == (None, None, None)


def test_a_walk_tells_the_keys_below_its_prefix(bucket: Bucket) -> None:
    """None of a prefix that only begins alike, and no hidden ones."""
    bucket.require()
    assert list(bucket.walk()) == ["B1/a.txt"]


def test_a_walk_goes_on_after_the_first_page(s3_server: Server, bucket: Bucket) -> None:
    """A store lists a thousand keys at a time."""
    store = s3_server.store(bucket.name.split("/", 3)[3])
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: obstore.put(store, f"B3/{number}", b""), range(1005)))
    assert len(set(bucket.walk())) == 1006


def test_an_empty_prefix_is_not_taken_for_a_store_of_books(s3_server: Server, bucket: Bucket, tmp_path: Path) -> None:
    """An audit of it would miss every book; nor is a bucket that is not there an empty one."""
    with pytest.raises(Halt, match="nothing"):
        open_bucket(s3_server.url(), tmp_path).require()
    missing = open_bucket("s3://not-there-at-all/x", tmp_path)
    for ask in (missing.require, lambda: missing.describe("x"), lambda: list(missing.walk())):
        with pytest.raises(Halt, match="There is no done bucket"):
            ask()


def test_a_profile_gives_what_the_variables_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys, region and endpoint of $AWS_PROFILE from ~/.aws; a variable goes before."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        f"[lib]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}%x\n[default]\naws_access_key_id = other\n"
    )
    (tmp_path / ".aws" / "config").write_text("[profile lib]\nregion = eu-x-1\nendpoint_url = http://s3.example.org/\n")
    monkeypatch.setenv("AWS_PROFILE", "lib")
    found = connect._s3("books")
    assert (found["access_key_id"], found["secret_access_key"]) == (KEY, f"{SECRET}%x")
    assert (found["region"], found["aws_endpoint_url_s3"]) == ("eu-x-1", "http://s3.example.org")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://s3.example.net")
    found = connect._s3("books")
    assert "access_key_id" not in found
    assert found["aws_endpoint_url_s3"] == "https://s3.example.net"


def test_an_odd_profile_is_none(tmp_path: Path) -> None:
    """A file that is no such file is passed over: the variables may do."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_bytes(b"\xff\xfe[")
    (tmp_path / ".aws" / "config").write_text("no section")
    assert connect._s3("books") == {"checksum_algorithm": "SHA256"}


def test_virtual_hosted_style_puts_the_bucket_into_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, whether or not the endpoint names it already; path style is what is done without a word."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://s3.example.org")
    assert connect._s3("books")["aws_endpoint_url_s3"] == "https://s3.example.org"
    monkeypatch.setenv("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true")
    assert connect._s3("books")["aws_endpoint_url_s3"] == "https://books.s3.example.org"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://books.s3.example.org")
    assert connect._s3("books")["aws_endpoint_url_s3"] == "https://books.s3.example.org"


def test_a_client_shows_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its repr goes into tracebacks."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    store = connect.connect("s3://books/x")
    assert isinstance(store, S3Store)
    assert KEY not in repr(store)
    assert SECRET not in repr(store)
    monkeypatch.setenv("AWS_CONDITIONAL_PUT", SECRET)
    with pytest.raises(Halt, match="incomplete, or cannot be understood") as halted:
        connect.connect("s3://books/x")
    assert SECRET not in halted.value.reason


def test_a_store_that_takes_no_checksums_can_be_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the variable that other tools know; the signature covers the bytes all the same."""
    assert connect._s3("books") == {"checksum_algorithm": "SHA256"}
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    assert connect._s3("books") == {}


def test_a_private_authority_is_trusted_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not there is told before anything is sent."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with pytest.raises(Halt, match="AWS_CA_BUNDLE names cannot be read: No such file"):
        connect.connect("s3://books/x")
    (tmp_path / "ca.pem").write_text(certifi_pem())
    assert isinstance(connect.connect("s3://books/x"), S3Store)
