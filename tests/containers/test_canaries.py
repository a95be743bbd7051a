"""Canary secrets, handed in as compose.yaml does, sing nowhere: no layer, environment, process, log, file or metric."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from obstore.store import S3Store

from tests.containers.canaries import OURS, Canaries, Nest, files_below, inspected, saved
from tests.containers.images import SERVICES, STAGES, docker, name_of

pytestmark = pytest.mark.slow
IMAGES = [name_of(service) for service in SERVICES]
_SECRETS = "/etc/grin-pipeline/secrets"
_GRIN = {f"{_SECRETS}/grin/credentials.json": ["client secret", "refresh token"]}
_BOARD = {f"{_SECRETS}/board/token": ["action token"]}
_STORE = {f"{_SECRETS}/store/aws": ["access key", "secret key"]}
_GPG = {f"{_SECRETS}/gpg/passphrase.asc": ["passphrase"]}
KNOWS = {
    "downloader": _GRIN,
    "decryptor": _GPG,
    "extractor": {},
    "modifier": {},
    "uploader": _STORE,
    "orchestrator": {**_BOARD, **_GRIN},
    "operator": {**_GRIN, **_STORE},
}
# Put into a process on purpose, so that the watchers are seen to find what there is.
CONTROL = "a-word-that-was-put-there"


@pytest.fixture(scope="module")
def watched() -> dict[str, dict[str, Any]]:
    """What the watchers of the processes have seen, by service."""
    return {}


@pytest.fixture(scope="module")
def nest(images: object, watched: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nest]:
    """The project, with all books at their end, every process of which was watched meanwhile."""
    made = Nest(tmp_path_factory.mktemp("nest"))
    try:
        made.open_shops()
        made.start_paused()
        with made.watched(watched, {"control": CONTROL}):
            sleeping = ["python", "-c", "import time; time.sleep(2)", CONTROL]
            docker("exec", "-d", "-e", f"WORD={CONTROL}", made.container("modifier"), *sleeping)
            made.go_on()
        yield made
    finally:
        made.down()


def address(nest: Nest, service: str) -> str:
    """Where this host reaches a container."""
    networks = json.loads(inspected(nest.container(service)))[0]["NetworkSettings"]["Networks"]
    return str(next(iter(networks.values()))["IPAddress"])


def answer(nest: Nest, service: str, path: str) -> bytes:
    """What a service says over HTTP."""
    port = 8080 if service == "orchestrator" else 8000
    # From inside: the host is not in the network of the figures.
    script = f"""import sys, urllib.error, urllib.request as web
try: told = web.urlopen("http://127.0.0.1:{port}{path}", timeout=10)
except urllib.error.HTTPError as error: told = error
sys.stdout.buffer.write(told.read())"""
    command = ["docker", "exec", nest.container(service), "python", "-c", script]
    return subprocess.run(command, capture_output=True, check=True).stdout


def test_the_processes_show_no_secret(nest: Nest, watched: dict[str, Any], figure: Callable[[str], None]) -> None:
    """No command line and no environment of any process has a canary, gpg's at work included, in any container."""
    assert set(watched) == set(SERVICES)
    for service, told in watched.items():
        assert [hit for hit in told["hits"] if not hit.startswith("control")] == [], service
        # The service itself has been read, its environment too.
        assert told["seen"]["environ"]["python"] > 0
    gpg = watched["decryptor"]["seen"]
    figure(
        f"gpg at work: seen {gpg['cmdline']['gpg']} times with its arguments, {gpg['environ']['gpg']} with environment"
    )
    assert gpg["cmdline"]["gpg"] > 0
    assert gpg["environ"]["gpg"] > 0


def test_the_watchers_find_what_is_there(nest: Nest, watched: dict[str, Any]) -> None:
    """A word that a process was given on purpose, as an argument and in its environment, is found in both."""
    assert [hit for hit in watched["modifier"]["hits"] if hit.startswith("control")] == [
        "control in cmdline of python",
        "control in environ of python",
    ]


def test_each_service_can_read_its_own_secret_only(nest: Nest) -> None:
    """The passphrase is the decryptor's, GRIN's credentials those of who asks GRIN, the keys those of who stores."""
    assert {service: nest.readable(service) for service in KNOWS} == KNOWS


def test_the_engine_tells_no_secret(nest: Nest) -> None:
    """`docker inspect` of containers and images, `docker history` and `docker compose config` have no canary."""
    assert nest.canaries.found(inspected(*(nest.container(service) for service in OURS))) == set()
    assert nest.canaries.found(inspected(*IMAGES)) == set()
    assert nest.canaries.found("".join(docker("history", "--no-trunc", name) for name in IMAGES)) == set()
    assert nest.canaries.found(nest.compose("--profile", "*", "config")) == set()


def test_no_layer_of_an_image_has_a_secret(nest: Nest) -> None:
    """`docker save` of all images has no canary; and it is read as it is, since it has what must be in it."""
    sure = Canaries()
    sure.words = {**nest.canaries.words, "a metric": "grin_bucket_oldest_token_age_seconds"}
    assert sure.found_in_pieces(saved(*IMAGES)) == {"a metric"}


def test_logs_pages_and_metrics_have_no_secret(nest: Nest) -> None:
    """What containers say, what they answer, and what the commands tell of good and bad books has no canary."""
    for service in OURS:
        said = subprocess.run(["docker", "logs", nest.container(service)], capture_output=True, check=True)
        assert said.stdout + said.stderr
        assert nest.canaries.found(said.stdout + said.stderr) == set(), service
    for service in SERVICES:
        metrics = answer(nest, service, "/metrics")
        assert b"grin_" in metrics
        assert nest.canaries.found(metrics + answer(nest, service, "/healthz")) == set(), service
    assert nest.canaries.found(answer(nest, "orchestrator", "/")) == set()
    failed = next((nest.data / "pipeline").glob("*/failed/*.json")).stem
    for command in (("ls",), ("status", "--json"), ("show", failed)):
        told = nest.compose("exec", "-T", "orchestrator", "grin-pipeline", *command)
        assert told
        assert nest.canaries.found(told) == set(), command


def test_the_board_has_no_secret(nest: Nest) -> None:
    """Tokens, ledger, workers, logs and all else in the volume have no canary; a file that was given one is found."""
    paths = list(files_below(nest.data))
    names = {path.relative_to(nest.data / "pipeline").parts[0] for path in paths if "pipeline" in path.parts}
    assert {"ledger", "workers", "logs", "05_uploaded"} <= names
    assert [path for path in paths if nest.canaries.found(path.read_bytes())] == []


def test_what_is_stored_has_no_secret(nest: Nest) -> None:
    """The provenance and every other file in the store have no canary; they were put there with the canary's keys."""
    keys = {"access_key_id": nest.canaries.words["access key"], "secret_access_key": nest.canaries.words["secret key"]}
    shop = f"http://{address(nest, 'shop')}:8333"
    store = S3Store("books", endpoint=shop, region="us-east-1", client_options={"allow_http": True}, **keys)
    names = [str(found["path"]) for page in store.list() for found in page]
    assert sum(name.endswith("provenance.json") for name in names) > 0
    assert [name for name in names if nest.canaries.found(bytes(store.get(name).bytes()))] == []


# --- what was hidden on purpose is found ---


@pytest.fixture
def careless(images: object) -> Iterator[tuple[Canaries, str]]:
    """An image with a canary in a file, in its environment and in its labels."""
    canaries = Canaries()
    word, name = canaries.words["passphrase"], f"grin-careless:{canaries.words['access key'].lower()}"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        header = tarfile.TarInfo("etc/note.txt")
        header.size = len(word)
        tar.addfile(header, io.BytesIO(word.encode()))
    secret = f'ENV KEY="{canaries.words["secret key"]}"'
    command = ["docker", "import", "-c", secret, "-m", canaries.words["access key"], "-", name]
    subprocess.run(command, input=packed.getvalue(), check=True, capture_output=True)
    yield canaries, name
    docker("image", "rm", name)


def test_a_careless_image_is_found_out(careless: tuple[Canaries, str]) -> None:
    """A canary in a layer, in the environment or in the history of an image is found by the same searches."""
    canaries, name = careless
    assert "passphrase" in canaries.found_in_pieces(saved(name))
    assert canaries.found(inspected(name)) >= {"secret key"}
    assert canaries.found(docker("history", "--no-trunc", name)) == {"access key"}


def test_a_careless_container_is_found_out(images: object) -> None:
    """A canary in the environment, the command or a label of a container is found in what the engine tells of it."""
    canaries = Canaries()
    one, two, three = (canaries.words[name] for name in ("passphrase", "access key", "secret key"))
    made = docker("create", "-e", f"PASS={one}", "--label", f"key={two}", name_of(STAGES[0]), "--key", three).strip()
    try:
        assert canaries.found(inspected(made)) == {"passphrase", "access key", "secret key"}
    finally:
        docker("rm", made)


def test_other_spellings_are_found() -> None:
    """A canary in an address or in base64 is found as well; and one that lies across two pieces of a stream."""
    canaries = Canaries()
    word = canaries.words["passphrase"]
    assert canaries.found(f"https://x/?p={quote(word)}") == {"passphrase"}
    assert canaries.found(base64.b64encode(word.encode() + b"\nmore")) == {"passphrase"}
    assert canaries.found_in_pieces([word[:9].encode(), word[9:].encode()]) == {"passphrase"}
