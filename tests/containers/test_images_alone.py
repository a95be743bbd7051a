"""Every image alone, by testcontainers: hardened, it starts, works, hears SIGTERM, and says what it lacks."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from testcontainers.core.network import Network

from tests.containers.images import SERVICES, STAGES, docker, name_of
from tests.containers.single import Alone, Place, alone, simulator

pytestmark = pytest.mark.slow
BOOKS = 6
SECRETS = {"downloader": ["grin"], "orchestrator": ["grin"], "decryptor": ["gpg"]}
# The most that a start, and a stop without a book in hand, may take, in seconds.
_START, _STOP = 2.0, 8.0
_TRIES = 3


def started(service: str, running: Alone) -> float:
    """Wait until it works, by its own word or by /healthz; the seconds that it took."""
    return running.until_answering() if service == "orchestrator" else running.until_ready()


@pytest.mark.parametrize("service", SERVICES)
def test_it_starts_quickly_and_stops_in_good_order(
    service: str, images: object, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    """Without network, capabilities and a root to write to it is ready in 2 s, then healthy, and ends with 0."""
    taken: list[float] = []
    # Other tests may have both processors just now; the second start, or the third, is then the one that counts.
    while (not taken or min(taken) >= _START) and len(taken) < _TRIES:
        place = Place(tmp_path / str(len(taken)))
        with alone(service, place, secrets=SECRETS.get(service, [])) as running:
            taken.append(started(service, running))
            running.until(running.healthy, 15)
            code, seconds = running.end()
            assert (code, seconds < _STOP) == (0, True), running.said()
    figure(f"made, started and ready in {min(taken):.2f} s; stopped in {seconds:.2f} s")
    assert min(taken) < _START, running.said(timestamps=True)


# --- a line of single containers ---


class Everything:
    """A whole line: one container a service on one board, and a GRIN that only two of them can reach."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.place = Place(folder)
        self.network = stack.enter_context(Network())
        self.archives = stack.enter_context(simulator(folder, self.network, self.place, BOOKS))
        self.services: dict[str, Alone] = {}
        for service in SERVICES:
            reaches = self.network if service in ("downloader", "orchestrator") else None
            running = alone(service, self.place, network=reaches, secrets=SECRETS.get(service, []))
            self.services[service] = stack.enter_context(running)

    def barcodes(self) -> list[str]:
        """What GRIN offers."""
        return sorted(path.name.partition(".")[0] for path in self.archives.glob("*.gpg"))


@pytest.fixture(scope="module")
def line(images: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    """The line with all books home."""
    with ExitStack() as stack:
        made = Everything(stack, tmp_path_factory.mktemp("line"))
        last = made.services["uploader"]
        last.until(lambda: made.place.bucket("05_uploaded") == made.barcodes() != [], 60)
        yield made


def test_single_containers_bring_books_home(line: Everything) -> None:
    """Each stage hands its books to the next one's container, over nothing but the shared folder."""
    assert len(line.barcodes()) == BOOKS
    for barcode in line.barcodes():
        done = [event["stage"] for event in line.place.events(barcode) if event["event"] == "done"]
        assert done == list(STAGES)
        home = line.place.data / "done" / barcode
        assert {f"{barcode}.tar.gz", "provenance.json"} <= {path.name for path in home.iterdir()}


def test_who_needs_no_network_has_none(line: Everything) -> None:
    """The four that have worked without a network really saw no address but their own."""
    for service in ("decryptor", "extractor", "modifier", "uploader"):
        code, told = line.services[service].ask("python", "-c", "import os; print(*os.listdir('/sys/class/net'))")
        assert code == 0
        assert set(told.split()) <= {"lo", "tunl0", "sit0", "ip6tnl0", "gre0"}


_PROCESSES = r"""
import os
for pid in filter(str.isdigit, os.listdir('/proc')):
    text = open(f'/proc/{pid}/stat').read()
    name, rest = text[text.index('(') + 1 : text.rindex(')')], text[text.rindex(')') + 2 :]
    if int(pid) != os.getpid():
        print(pid, rest[0], name)
"""


def test_the_decryptor_leaves_no_process_behind(line: Everything) -> None:
    """After all its books there is only Python: no zombie, no gpg, no agent."""
    _, told = line.services["decryptor"].ask("python", "-c", _PROCESSES)
    processes = [row.split() for row in told.splitlines()]
    # The engine's own health check comes and goes.
    lasting = [row for row in processes if row[0] == "1"]
    assert len(lasting) == 1
    assert not [row for row in processes if row[1] == "Z" or "gpg" in row[2]], told


def test_nothing_was_written_outside_of_data_and_tmp(line: Everything) -> None:
    """The engine has seen no change of any container's own files; the folders of mounts are no changes of ours."""
    for running in line.services.values():
        changed = [row for row in docker("diff", running.id).splitlines() if not row.startswith("C ")]
        assert [
            row for row in changed if row.split()[1] not in ("/secrets", "/stages") and "/secrets/" not in row
        ] == []


# --- another user, a stage of one's own ---


def test_any_other_user_works_too(line: Everything, tmp_path: Path) -> None:
    """With `--user 1234:1234` and a folder that belongs to it, a number without a name decrypts a real book."""
    barcode = line.barcodes()[0]
    place = Place(tmp_path, owner=1234)
    shutil.copy(line.place.secrets / "gpg" / "passphrase.asc", place.secrets / "gpg")
    came = place.data / "processing" / barcode / "downloader"
    came.mkdir(parents=True)
    shutil.copy(line.archives / f"{barcode}.tar.gz.gpg", came)
    place.give()
    place.order("seed", "--barcode", barcode, "--at", "01_incoming")
    with alone("decryptor", place, secrets=["gpg"]) as running:
        running.until(lambda: place.bucket("02_decrypted") == [barcode])
        assert running.end()[0] == 0
    made = place.data / "processing" / barcode / "decryptor" / f"{barcode}.tar.gz"
    assert made.read_bytes()[:2] == b"\x1f\x8b"
    assert made.stat().st_uid == 1234


_HOP = """
import time
from common.stage import Stage

class Hop(Stage):
    def process(self, book, work):
        time.sleep(self.options["seconds"])
        (work / "note.txt").write_text(f"{book.barcode} was here")
"""


# STAGE names the row, PYTHONPATH finds the module.
_THEIRS = {"STAGE": "hop", "PYTHONPATH": "/app:/stages"}


def hopping(folder: Path, seconds: float, grace: float = 25, **row: object) -> Place:
    """A place whose only stage is somebody's own, with one book before it."""
    place = Place(folder, grace=grace)
    pipes = {"input_pipe": "pipeline/00_b", "output_pipe": "pipeline/01_b"}
    place.config["filters"] = [{"name": "hop", "class": "theirs:Hop", **pipes, "options": {"seconds": seconds}, **row}]
    place.write()
    (place.stages / "theirs.py").write_text(_HOP)
    place.give()
    place.order("seed", "--barcode", "A1")
    return place


@pytest.mark.parametrize(("seconds", "grace", "left_in"), [(1.5, 20, "01_b"), (60, 0.5, "00_b")])
def test_a_book_in_hand_is_finished_or_handed_back(
    images: object, tmp_path: Path, seconds: float, grace: float, left_in: str
) -> None:
    """SIGTERM while a stage of one's own works: what the grace is enough for is finished, the rest handed back."""
    place = hopping(tmp_path, seconds, grace)
    with alone("extractor", place, environment=_THEIRS) as running:
        running.until(lambda: any(event["event"] == "attempt" for event in place.events("A1")))
        code, took = running.end()
        assert (code, took < _STOP) == (0, True), running.said()
    assert place.bucket(left_in) == ["A1"]
    assert not list((place.data / "pipeline").glob("*/working/*"))
    assert not list((place.data / "pipeline" / "workers").iterdir())


def test_a_time_limit_ends_the_container(images: object, tmp_path: Path) -> None:
    """A book that takes longer than `time_limit` ends its container with 1, so that the engine starts it again."""
    place = hopping(tmp_path, 60, time_limit=1)
    with alone("extractor", place, environment=_THEIRS) as running:
        assert running.wait() == 1
    assert not list((place.data / "pipeline").glob("*/working/*"))
    assert [event["event"] for event in place.events("A1")][:2] == ["registered", "attempt"]
    assert len(place.events("A1")) == 3


@pytest.mark.parametrize("after", [0, 0.03, 0.08, 0.2])
@pytest.mark.parametrize("service", ["extractor", "orchestrator"])
def test_sigterm_in_the_first_moments_is_heard(images: object, tmp_path: Path, service: str, after: float) -> None:
    """Even while Python itself starts, or imports, SIGTERM ends a container with 0 and at once."""
    with alone(service, Place(tmp_path), secrets=["grin"]) as running:
        code, seconds = running.end(after)
        assert (code, seconds < _STOP) == (0, True), running.said()
        assert "Traceback" not in running.said()


# --- a wrong set-up ---


def _no_configuration(place: Place) -> None:
    (place.data / "config.yaml").unlink()


def _a_configuration_for_root_alone(place: Place) -> None:
    (place.data / "config.yaml").chmod(0o600)
    os.chown(place.data / "config.yaml", 0, 0)


def _a_passphrase_for_root_alone(place: Place) -> None:
    os.chown(place.secrets / "gpg" / "passphrase.asc", 0, 0)


def _no_secrets(place: Place) -> None:
    for path in place.secrets.glob("*/*"):
        path.unlink()


def _a_folder_of_root(place: Place) -> None:
    os.chown(place.data, 0, 0)


WRONG = [
    (
        "extractor",
        _no_configuration,
        {},
        "There is no configuration: neither /data/config.yaml nor .* Write one with `grin-pipeline init`",
    ),
    ("orchestrator", _no_configuration, {}, "There is no configuration: .* Write one with `grin-pipeline init`"),
    ("extractor", _a_configuration_for_root_alone, {}, "/data/config.yaml.* Permission denied"),
    ("decryptor", _a_passphrase_for_root_alone, {}, r"/secrets/gpg/passphrase.asc .* Permission denied.*uid 10001"),
    ("decryptor", _no_secrets, {}, "/secrets/gpg/passphrase.asc .* Put the secret there"),
    ("downloader", _no_secrets, {}, "/secrets/grin/credentials.json .* Let grin.credentials_file name"),
    ("extractor", _a_folder_of_root, {}, "The board cannot be made: /data/pipeline: Permission denied"),
    ("orchestrator", _a_folder_of_root, {}, "The board cannot be made: /data/pipeline: Permission denied"),
    ("extractor", lambda _: None, {"STAGE": ""}, "STAGE names no stage: set it"),
    ("extractor", lambda _: None, {"STAGE": "hip"}, "There is no stage hip under filters; there are: downloader,"),
    ("extractor", lambda _: None, {"STAGE": "orchestrator"}, "This image does not hold the orchestrator: .* image"),
    ("extractor", lambda _: None, {"STAGE": "decryptor"}, "services.decryptor is not found"),
]


@pytest.mark.parametrize(("service", "spoil", "environment", "sentence"), WRONG)
def test_a_wrong_set_up_is_told_in_a_sentence(
    images: object,
    tmp_path: Path,
    service: str,
    spoil: Callable[[Place], None],
    environment: dict[str, str],
    sentence: str,
) -> None:
    """Exit code 2, and what to do; no traceback, and nothing left on the board."""
    place = Place(tmp_path)
    spoil(place)
    with alone(service, place, secrets=SECRETS.get(service, []), environment=environment) as running:
        code = running.wait()
        said = running.said()
    assert (code, "Traceback" in said) == (2, False), said
    assert re.search(sentence, said), said
    assert not (place.data / "pipeline").exists()


# --- commands ---


def test_the_orchestrators_image_takes_commands(line: Everything) -> None:
    """`docker run … grin-pipeline/orchestrator status` and its like work, and so does --help, also of a stage."""
    status = json.loads(line.place.order("status", "--json"))
    assert status["done"] == BOOKS
    assert line.barcodes()[0] in line.place.order("show", line.barcodes()[0])
    assert "usage: grin-pipeline" in line.place.order("--help")
    told = docker("run", "--rm", "--network=none", "--read-only", name_of("modifier"), "--help")
    assert "usage: grin-pipeline stage modifier" in told


def test_the_doctor_prepares_a_board(images: object, tmp_path: Path) -> None:
    """`doctor --no-stages --prepare`, as compose.yaml runs it, makes the buckets, and needs no network."""
    place = Place(tmp_path)
    place.order("doctor", "--no-stages", "--prepare")
    assert (place.data / "pipeline" / "00_to_download").stat().st_uid == place.owner
