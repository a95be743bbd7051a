"""A real S3 server for the tests: SeaweedFS on the loopback, with keys and a bucket of its own."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import obstore
import pytest
from obstore.exceptions import BaseError
from obstore.store import S3Store

# Each of them listens to two ports, one of them for the others.
_PARTS = ("master", "volume", "filer", "s3")
_PATIENCE = 60.0
_WEED = Path(sys.executable).with_name("weed")


class Server:
    """One server; what it holds outlives stop() and start(), with the same address and keys."""

    region = "us-east-1"

    def __init__(self, folder: Path, bucket: str = "books") -> None:
        self.folder = folder
        self.bucket = bucket
        self.access_key, self.secret_key = f"key{secrets.token_hex(6)}", secrets.token_hex(16)
        self.process: subprocess.Popen[bytes] | None = None
        # Told to the parts one by one: those that they would choose may be taken.
        self._ports = _free_ports(2 * len(_PARTS))
        self.endpoint = f"http://127.0.0.1:{self._ports[2 * _PARTS.index('s3')]}"
        (folder / "data").mkdir(parents=True)
        keys = {"accessKey": self.access_key, "secretKey": self.secret_key}
        identity = {"name": "tests", "credentials": [keys], "actions": ["Admin"]}
        (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))

    def start(self) -> None:
        """Start it, and wait for a first object to be put."""
        command = [str(_WEED), "server", f"-dir={self.folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        command += ["-filer", "-s3", f"-s3.config={self.folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        command += ["-master.telemetry=false", "-master.volumeSizeLimitMB=1024", "-volume.max=100"]
        # Started again, it would otherwise wait a quarter of a minute for others to vote with it.
        command += ["-master.electionTimeout=1s", "-master.heartbeatInterval=100ms"]
        command += [f"-{part}.localSocket={self.folder / part}" for part in ("filer", "s3")]
        for number, part in enumerate(_PARTS):
            command += [f"-{part}.port={self._ports[2 * number]}", f"-{part}.port.grpc={self._ports[2 * number + 1]}"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True)
        self._wait()

    def stop(self) -> None:
        """Kill it: asked to end, it takes half a minute."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        for part, port in zip(_PARTS, self._ports[1::2], strict=True):
            # It asks for no folder for these.
            Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock").unlink(missing_ok=True)

    def url(self, prefix: str = "") -> str:
        """The done bucket as a configuration names it; without a prefix, one that nobody has used."""
        return f"s3://{self.bucket}/{prefix or secrets.token_hex(6)}"

    def environ(self, endpoint: str = "") -> dict[str, str]:
        """The ecosystem's standard variables, for this server or for a proxy in front of it."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
        }

    def store(self, prefix: str = "") -> S3Store:
        """The bucket by obstore itself, past everything that is to be tested; each request is sent once."""
        retries = {"max_retries": 0, "backoff": {}, "retry_timeout": timedelta(seconds=1)}
        return S3Store(
            self.bucket,
            prefix=prefix or None,
            endpoint=self.endpoint,
            access_key_id=self.access_key,
            secret_access_key=self.secret_key,
            region=self.region,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True, "timeout": "30s"},
            retry_config=retries,
        )

    def unfinished(self) -> int:
        """How many uploads in parts were begun and neither completed nor given up; nobody sees their parts."""
        port = self._ports[2 * _PARTS.index("filer")]
        url = f"http://127.0.0.1:{port}/buckets/{self.bucket}/.uploads/?limit=1000"
        with suppress(HTTPError), urlopen(Request(url, headers={"Accept": "application/json"})) as answer:
            return len(json.load(answer)["Entries"] or ())
        return 0

    def _wait(self) -> None:
        assert self.process is not None
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                obstore.put(self.store(), ".started", b"x")
                return obstore.delete(self.store(), ".started")
            except (BaseError, OSError) as error:
                log = (self.folder / "log").read_text(errors="replace")[-2000:]
                assert self.process.poll() is None, f"the S3 server has ended:\n{log}"
                assert time.monotonic() < end, f"the S3 server takes no object: {error}\n{log}"
                time.sleep(0.1)


@contextmanager
def running(folder: Path, bucket: str = "books") -> Iterator[Server]:
    """A server that is up, and gone afterwards; `folder` is made for it."""
    server = Server(folder, bucket)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests of this run; each takes a prefix of its own: `url()` makes one."""
    with running(tmp_path_factory.mktemp("s3") / "server") as server:
        yield server


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]
