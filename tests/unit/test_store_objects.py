"""The done bucket in an object store, as whoever reads it sees it; and how its client is found."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import certifi
import obstore
import pytest
from obstore.store import S3Store

from common.artifacts import Artifact, describe_bytes
from common.errors import Halt, Lost, Redo, Reject, Retry
from common.store import Bucket, Puts, connect, open_bucket
from common.store.objects import ObjectBucket
from tests.objects.proxy import Proxy, Request, proxying
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


@pytest.mark.parametrize("left", [{".grin-pipeline-doctor": b"x"}, {"google/": b""}, {"B1/.hidden": b"x", "B1/": b""}])
def test_hidden_objects_and_marks_of_folders_are_no_books(
    s3_server: Server, bucket: Bucket, tmp_path: Path, left: dict[str, bytes]
) -> None:
    """A bucket that was emptied may keep what a doctor or a console has left: an audit must not take it for full."""
    emptied = open_bucket(s3_server.url(), tmp_path)
    store = s3_server.store(emptied.name.split("/", 3)[3])
    for key, data in left.items():
        obstore.put(store, key.rstrip("/"), data)
    with pytest.raises(Halt, match="nothing"):
        emptied.require()


class Odd(Proxy):
    """A listing that tells of a key that the library takes for no path, beside all others."""

    async def _answer(self, request: Request, fault: str) -> bytes:
        answer = await super()._answer(request, fault)
        return answer.replace(b"/B1/a.txt<", b"/B1//a.tx<")


def test_somebody_elses_odd_object_is_an_object(s3_server: Server, bucket: Bucket) -> None:
    """An audit of named books needs no listing."""
    with pytest.MonkeyPatch.context() as patch, proxying(Odd(s3_server.endpoint)) as proxy:
        patch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        odd = large(bucket.name)
        odd.require()
        with pytest.raises(Halt, match="whose key is no path"):
            list(odd.walk())


def large(url: str) -> Bucket:
    """That bucket, in parts of 5 MiB."""
    return ObjectBucket(url, Puts(part_size=PART, concurrency=1))


PART = 5 << 20
DATA = {"at once": b"newer", "in parts": bytes(PART + 9)}


def gone_after(looks: int) -> Callable[[], None]:
    """Looks whether the book is one's own: so many times it is."""
    left = [None] * looks

    def look() -> None:
        if not left:
            raise Retry("taken away")
        left.pop()

    return look


@pytest.mark.parametrize(("size", "looks"), [("at once", 0), ("in parts", 0), ("in parts", 1)])
def test_nothing_becomes_visible_once_the_book_is_in_other_hands(
    s3_server: Server, bucket: Bucket, tmp_path: Path, size: str, looks: int
) -> None:
    """Neither at the beginning nor, of a large one, before the end; what was there stays, and no part is left."""
    (tmp_path / "file").write_bytes(DATA[size])
    others = s3_server.unfinished()
    for key in ("B1/a.txt", "B1/new"):
        mine = large(bucket.name).for_book("B1", {}, gone_after(looks))
        with pytest.raises(Retry, match="taken away"):
            mine.put_file(key, tmp_path / "file", describe_bytes(DATA[size], key))
        with pytest.raises(Retry, match="taken away"):
            mine.put_bytes(key, b"x")
    assert (bucket.read("B1/a.txt", 9), bucket.size("B1/new"), s3_server.unfinished()) == (b"text", None, others)


def test_what_could_not_be_called_back_is_told(bucket: Bucket, tmp_path: Path) -> None:
    """The book changed hands while the last parts were on their way."""
    (tmp_path / "file").write_bytes(DATA["in parts"])
    mine = large(bucket.name).for_book("B1", {}, gone_after(2))
    with pytest.raises(Lost, match=r"B1/a.txt in .* may be older .* --deep --fix"):
        mine.put_file("B1/a.txt", tmp_path / "file", describe_bytes(DATA["in parts"], ""))


@pytest.mark.parametrize("size", DATA)
def test_a_file_that_is_gone_sends_the_book_back(bucket: Bucket, tmp_path: Path, size: str) -> None:
    """And is not told as a store that cannot be reached."""
    with pytest.raises(Redo, match="is missing"):
        large(bucket.name).put_file("B1/new", tmp_path / "gone", describe_bytes(DATA[size], ""))


class Second(Proxy):
    """Another hand: right before a put on condition, it puts something else there."""

    def choose(self, request: Request) -> str:
        """No fault, but this."""
        if b"if-none-match" in request.head.lower():
            obstore.put(self.store, "B1/new", b"another's")
        return ""


def test_another_hand_between_look_and_put_is_told(s3_server: Server, bucket: Bucket) -> None:
    """What it has put is not overwritten without a further look."""
    with pytest.MonkeyPatch.context() as patch, proxying(Second(s3_server.endpoint)) as proxy:
        proxy.store = s3_server.store(bucket.name.split("/", 3)[3])
        patch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        mine = large(bucket.name)
        with pytest.raises(Retry, match="Another hand has put B1/new"):
            mine.put_bytes("B1/new", b"ours")
    assert bucket.read("B1/new", 99) == b"another's"
    assert bucket.put_bytes("B1/new", b"ours")


@pytest.mark.parametrize("key", ["B1/a\tb", "B1/x\n", "B1//x", "B1/../x", f"B1/{'y' * 1020}"])
@pytest.mark.parametrize("size", DATA)
def test_a_key_that_no_object_can_have_fails_the_book(bucket: Bucket, tmp_path: Path, key: str, size: str) -> None:
    """Of all books, only this one; with a cure."""
    (tmp_path / "file").write_bytes(DATA[size])
    for put in (
        lambda: large(bucket.name).put_file(key, tmp_path / "file", describe_bytes(DATA[size], key)),
        lambda: bucket.put_bytes(key, b"x"),
    ):
        with pytest.raises(Reject, match="its key is") as refused:
            put()
        assert "`rename`" in refused.value.cure


@pytest.mark.parametrize("key", ["B1/a#b?c%41~*", "B1/ x ", "B1/é ü", "B1/.x", "B1/a..b"])
def test_an_odd_key_is_a_key(bucket: Bucket, key: str) -> None:
    """What a store takes is not refused."""
    assert bucket.put_bytes(key, b"x")
    assert bucket.read(key, 9) == b"x"


class Archive(Proxy):
    """A store that has archived every object: it tells of it, and gives nothing."""

    async def _answer(self, request: Request, fault: str) -> bytes:
        if request.method != "GET" or "list-type" in request.target:
            return await super()._answer(request, fault)
        body = b"<Error><Code>InvalidObjectState</Code></Error>"
        return b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body)


def test_what_was_archived_since_counts_by_its_label(s3_server: Server, bucket: Bucket) -> None:
    """It was proven when it was put; one without a label, or another one, does not."""
    ours = describe_bytes(b"ours", "")
    bucket.put_bytes("B1/ours", b"ours")
    with pytest.MonkeyPatch.context() as patch, proxying(Archive(s3_server.endpoint)) as proxy:
        patch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        mine = large(bucket.name)
        assert mine.has("B1/ours", ours)
        assert not mine.has("B1/ours", Artifact("", 4, "0" * 64))
        with pytest.raises(Halt, match="has archived an object"):
            mine.has("B1/a.txt", describe_bytes(b"text", ""))
