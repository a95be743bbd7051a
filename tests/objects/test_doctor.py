"""`doctor` tries out a done bucket in an object store, and leaves nothing there."""

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


def found(folder: Path, bucket: str) -> list[Finding]:
    """What is said of this done bucket."""
    pipes = {"input_pipe": "pipeline/00_in", "output_pipe": "pipeline/01_out"}
    rows = [{"name": "uploader", "class": "Uploader", **pipes}]
    (folder / "config.yaml").write_text(yaml.safe_dump({"global": {"done_bucket": bucket}, "filters": rows}))
    return list(done_bucket(config.load(folder / "config.yaml", environ={})))


@pytest.fixture(autouse=True)
def _environ(s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process reaches the server."""
    for name, value in s3_server.environ().items():
        monkeypatch.setenv(name, value)


def test_a_bucket_that_does_what_it_should(tmp_path: Path, s3_server: Server) -> None:
    """One line, and nothing stays; a folder is the uploader's own affair."""
    url = s3_server.url()
    [one] = found(tmp_path, url)
    assert (one.level, url in one.sentence, one.cure) == (OK, True, "")
    assert list(s3_server.store(url.rpartition("/")[2]).list()) == []
    assert found(tmp_path, "done") == []


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
