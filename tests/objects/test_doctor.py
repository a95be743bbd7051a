"""`doctor` tries out the done bucket, in an object store or a folder, and leaves nothing there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from common import config
from common.store import connect
from services.orchestrator.findings import MUST, OK, WARNING, Finding
from services.orchestrator.probe_store import done_bucket
from tests.objects import proxy as faults
from tests.objects.impatient import IMPATIENT
from tests.objects.proxy import Proxy, Request, proxying
from tests.objects.server import Server


def found(folder: Path, bucket: str, **options: object) -> list[Finding]:
    """What is said of this done bucket, before an uploader with these options."""
    pipes = {"input_pipe": "pipeline/00_in", "output_pipe": "pipeline/01_out"}
    rows = [{"name": "uploader", "class": "Uploader", **pipes, "options": options}]
    (folder / "config.yaml").write_text(yaml.safe_dump({"global": {"done_bucket": bucket}, "filters": rows}))
    return list(done_bucket(config.load(folder / "config.yaml", environ={})))


@pytest.fixture(autouse=True)
def _environ(s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process reaches the server."""
    for name, value in s3_server.environ().items():
        monkeypatch.setenv(name, value)


def test_a_bucket_that_does_what_it_should(tmp_path: Path, s3_server: Server) -> None:
    """One line, and nothing stays."""
    url = s3_server.url()
    [one] = found(tmp_path, url)
    assert (one.level, url in one.sentence, one.cure) == (OK, True, "")
    assert list(s3_server.store(url.rpartition("/")[2]).list()) == []


def test_a_bucket_that_does_not_exist(tmp_path: Path, s3_server: Server) -> None:
    """Nobody makes it: that is said, with what to do."""
    [one] = found(tmp_path, "s3://nobody-has-made-it/books")
    assert one.level == MUST and "nobody-has-made-it" in one.sentence and one.cure


def test_a_folder(tmp_path: Path) -> None:
    """A folder takes a file and gives it back; where it is not there yet, the one above it; nothing stays in either."""
    for said in ("is not there yet", "takes a file"):
        [one] = found(tmp_path, "done/books")
        assert (one.level, said in one.sentence, one.cure) == (OK, True, "")
        assert {path.name for path in tmp_path.iterdir()} <= {"config.yaml", "done"}
        (tmp_path / "done" / "books").mkdir(parents=True, exist_ok=True)
    assert list((tmp_path / "done" / "books").iterdir()) == []


def test_a_bucket_that_cannot_be_reached_or_refuses_us(
    tmp_path: Path, s3_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is one that must be mended, with a sentence and a cure, and no secret in either."""
    with monkeypatch.context() as wrong:
        wrong.setenv("AWS_SECRET_ACCESS_KEY", "not-the-one")
        [one] = found(tmp_path, s3_server.url())
        assert one.level == MUST and "refuses us" in one.sentence and "credentials" in one.cure
        assert "not-the-one" not in one.sentence + one.cure
    [one] = found(tmp_path, "ftp://books")
    assert one.level == MUST and one.cure
    monkeypatch.setattr(connect, "_RETRY", IMPATIENT)
    with proxying(Proxy(s3_server.endpoint, down=True)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        [one] = found(tmp_path, s3_server.url())
        assert one.level == MUST and "cannot be reached" in one.sentence and one.cure


class Keeping(Proxy):
    """Lets nothing be removed."""

    def choose(self, request: Request) -> str:
        """Refuse what would remove something."""
        removes = request.method == "DELETE" or "delete" in request.target
        return faults.DENIED if removes else ""


def test_a_bucket_that_lets_nothing_be_removed(
    tmp_path: Path, s3_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is no hindrance, since nothing is ever removed; what stays is named, and is hidden."""
    with proxying(Keeping(s3_server.endpoint)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        url = s3_server.url()
        # Once more, over what has stayed.
        for _ in range(2):
            [one] = found(tmp_path, url)
            assert one.level == WARNING and ".grin-pipeline-doctor" in one.cure


class Flipping(Proxy):
    """Gives objects back with one letter changed, and tells how they were labelled."""

    labels: bytes = b""

    async def _answer(self, request: Request, fault: str) -> bytes:
        answer = await super()._answer(request, fault)
        self.labels = request.head if request.method == "PUT" else self.labels
        reads = request.method == "GET" and "list-type" not in request.target
        return answer[:-1] + bytes([answer[-1] ^ 1]) if reads else answer


def test_nothing_stays_of_an_object_that_was_not_kept(
    tmp_path: Path, s3_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read back otherwise than it was sent is told, and removed all the same."""
    url = s3_server.url()
    with proxying(Flipping(s3_server.endpoint)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        [one] = found(tmp_path, url)
    assert one.level == MUST and "did not arrive" in one.sentence
    assert list(s3_server.store(url.rpartition("/")[2]).list()) == []


def test_it_puts_as_the_uploader_does(tmp_path: Path, s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its storage class and its labels, beside a book's own: what the store does not take is told."""
    [one] = found(tmp_path, s3_server.url(), storage_class="NO_SUCH")
    assert one.level == MUST and "InvalidStorageClass" in one.sentence
    with proxying(Flipping(s3_server.endpoint)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        [one] = found(tmp_path, s3_server.url(), metadata={"shelf": "tall"}, read_back=False)
        assert one.level == OK
        assert b"x-amz-meta-shelf: tall" in proxy.labels and b"x-amz-meta-barcode: " in proxy.labels
