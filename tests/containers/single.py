"""One image alone, as careful people run it: read-only, without capabilities, without a network unless one is given."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from tests.containers.images import STAGES, UID, docker, name_of

BUCKETS = ("00_to_download", "01_incoming", "02_decrypted", "03_extracted", "04_modified", "05_uploaded")
CREDENTIALS = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
# Where /healthz is asked, as the engine itself does it.
HEALTH = ["python", "-I", "-S", "/app/common/healthcheck.py"]
_SECOND = 1_000_000_000


def configuration(**common: object) -> dict[str, Any]:
    """The whole line before a GRIN that is called `simulator`, its secrets below /secrets."""
    pipes = list(zip(STAGES, BUCKETS, BUCKETS[1:], strict=False))
    filters = [
        {"name": name, "class": name.capitalize(), "input_pipe": f"pipeline/{came}", "output_pipe": f"pipeline/{goes}"}
        for name, came, goes in pipes
    ]
    quick = {"poll": 0.1, "heartbeat": 1, "reap_after": 10}
    secrets = {"library": "TESTLIB", "gpg_passphrase_file": "/secrets/gpg/passphrase.asc"}
    grin = {"base_url": "http://simulator:8000/libraries", "token_uri": "http://simulator:8000/token"}
    more = {"credentials_file": "/secrets/grin/credentials.json", "requests_per_second": 50}
    return {"global": {**secrets, **quick, **common}, "grin": {**grin, **more}, "filters": filters}


class Place:
    """A folder for /data and one for /secrets, which belong to the containers' user."""

    def __init__(self, folder: Path, owner: int = UID, **common: object) -> None:
        self.owner = owner
        self.data, self.secrets, self.stages = (folder / name for name in ("data", "secrets", "stages"))
        for path in (self.data, self.stages, self.secrets / "gpg", self.secrets / "grin"):
            path.mkdir(parents=True)
        self.config = configuration(**common)
        self.write()
        (self.secrets / "gpg" / "passphrase.asc").write_text("correct horse\n")
        (self.secrets / "grin" / "credentials.json").write_text(json.dumps(CREDENTIALS))
        self.give()

    def write(self) -> None:
        """Write the configuration as it is now."""
        (self.data / "config.yaml").write_text(yaml.safe_dump(self.config))

    def give(self) -> None:
        """Let all of it belong to the user, and the secrets be for nobody else."""
        for top in (self.data, self.secrets, self.stages):
            for path in (top, *top.rglob("*")):
                os.chown(path, self.owner, self.owner)
        for path in self.secrets.glob("*/*"):
            path.chmod(0o600)

    def bucket(self, name: str) -> list[str]:
        """The barcodes that wait in a bucket."""
        return sorted(path.stem for path in (self.data / "pipeline" / name).glob("*.json"))

    def events(self, barcode: str) -> list[dict[str, Any]]:
        """A book's story."""
        path = next((self.data / "pipeline" / "ledger").glob(f"*/{barcode}.jsonl"))
        return [json.loads(line) for line in path.read_text().splitlines()]

    def order(self, *command: str) -> str:
        """A command of the orchestrator's image on this board, to its end."""
        where = [f"--volume={self.data}:/data", f"--user={self.owner}:{self.owner}", "--network=none"]
        hard = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--tmpfs=/tmp"]
        return docker("run", "--rm", *where, *hard, name_of("orchestrator"), *command)


class Alone:
    """A container that runs; what it said, how it is, how it ends."""

    def __init__(self, made: DockerContainer) -> None:
        self._began = time.time()
        self._inner = made.start().get_wrapped_container()

    @property
    def id(self) -> str:
        """The engine's name of it."""
        return str(self._inner.id)

    def said(self, **how: bool) -> str:
        """Standard output and standard error."""
        return str(self._inner.logs(**how).decode())

    def state(self) -> dict[str, Any]:
        """Status, exit code, health."""
        self._inner.reload()
        return dict(self._inner.attrs["State"])

    def ask(self, *command: str) -> tuple[int, str]:
        """Run something inside, as the same user."""
        answer = self._inner.exec_run(list(command))
        return int(answer.exit_code or 0), str(answer.output.decode())

    def until(self, condition: Callable[[], object], seconds: float = 30) -> float:
        """Wait for it; how long it took. When it does not come, what the container said tells why."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < seconds, f"not within {seconds} s: {self.state()}\n{self.said()}"
            time.sleep(0.05)
        return time.monotonic() - began

    def until_ready(self) -> float:
        """Wait until the worker is ready; the seconds from the order to make the container until it said so."""
        self.until(lambda: "The worker is ready." in self.said())
        lines = self.said(timestamps=True).splitlines()
        stamp = next(line.split()[0] for line in lines if "The worker is ready." in line)
        # Python knows microseconds, the engine nanoseconds.
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*Z", r"\1+00:00", stamp)).timestamp() - self._began

    def until_answering(self) -> float:
        """Wait until /healthz says that all is well; the seconds from the order to make the container."""
        self.until(lambda: self.state()["Running"] and self.ask(*HEALTH)[0] == 0)
        return time.time() - self._began

    def healthy(self) -> bool:
        """Whether the engine has found it healthy."""
        return bool(self.state()["Health"]["Status"] == "healthy")

    def end(self, after: float = 0) -> tuple[int, float]:
        """SIGTERM, after some seconds; the exit code, and how long it took to end."""
        time.sleep(after)
        began = time.monotonic()
        self._inner.kill("SIGTERM")
        return self.wait(), time.monotonic() - began

    def wait(self) -> int:
        """Wait for its end; the exit code."""
        return int(self._inner.wait(timeout=20)["StatusCode"])


@contextmanager
def alone(service: str, place: Place, *, network: Network | None = None, **more: Any) -> Iterator[Alone]:
    """A service's image, hardened; `environment`, `command` and `secrets` (folders of the place) as `more` has them."""
    user = f"{place.owner}:{place.owner}"
    made = DockerContainer(name_of(service)).with_envs(**more.get("environment", {}))
    made.with_volume_mapping(place.data, "/data", "rw").with_volume_mapping(place.stages, "/stages", "ro")
    for name in more.get("secrets", ()):
        made.with_volume_mapping(place.secrets / name, f"/secrets/{name}", "ro")
    hard = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"], "user": user}
    often = {"interval": _SECOND, "timeout": 3 * _SECOND, "retries": 3, "start_period": 10 * _SECOND}
    where = {} if network else {"network": "none"}
    made.with_kwargs(**hard, **where, healthcheck=often, pids_limit=100, mem_limit="1g")
    made.with_tmpfs_mount("/tmp", "mode=1777")
    if network:
        made.with_network(network).with_network_aliases(service)
    if command := more.get("command"):
        made.with_command(list(command))
    try:
        yield Alone(made)
    finally:
        made.stop()


@contextmanager
def simulator(folder: Path, network: Network, place: Place, books: int) -> Iterator[Path]:
    """A GRIN under the name `simulator`, which fills the place's secrets; the folder of its archives."""
    made = DockerContainer(name_of("simulator")).with_envs(DEMO_BOOKS=str(books), DEMO_POISONED="0", DEMO_PAGES="4:5")
    shutil.rmtree(place.secrets / "grin")
    for path in (folder / "demo", place.secrets / "grin"):
        path.mkdir()
    place.give()
    os.chown(folder / "demo", UID, UID)
    made.with_volume_mapping(folder / "demo", "/demo", "rw")
    for name in ("gpg", "grin"):
        made.with_volume_mapping(place.secrets / name, f"/run/demo/{name}", "rw")
    made.with_network(network).with_network_aliases("simulator")
    try:
        running = Alone(made)
        running.until((place.secrets / "grin" / "credentials.json").exists, 60)
        yield folder / "demo" / "grin" / "archives"
    finally:
        made.stop()
