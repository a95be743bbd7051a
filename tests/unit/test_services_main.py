"""What each image runs, as a process of its own: which service, at which address, and SIGTERM from its first moment."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
# As the Dockerfile has it.
IMAGE = ["env", "--block-signal=TERM", sys.executable, "-P", "-m", "services"]


def environ(folder: Path, **more: str) -> dict[str, str]:
    """This checkout, and the configuration of the folder; nothing of who runs the tests."""
    known = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**known, "PYTHONPATH": f"{ROOT}:{folder}", "PYTHONUNBUFFERED": "1", **more}


def ask(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    command = [*IMAGE, *arguments]
    env = environ(folder, **more)
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration with one row of somebody's own."""
    row = {"name": "hop", "class": "theirs:Hop", "input_pipe": "pipeline/00_b", "output_pipe": "pipeline/01_b"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"global": {"poll": 0.05}, "filters": [row]}))
    stage = "from common.stage import Stage\n\nclass Hop(Stage):\n    def process(self, book, work): pass\n"
    (tmp_path / "theirs.py").write_text(stage)
    return tmp_path


@contextmanager
def running(folder: Path, *arguments: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    """The process while it works, its output in `said`; killed if it is still there in the end."""
    with (folder / "said").open("w") as said:
        env, command = environ(folder, **more), [*IMAGE, *arguments]
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=said, stderr=said, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until_said(folder: Path, words: str) -> str:
    """Wait until the process has said it; all that it said."""
    limit = time.monotonic() + 20
    while words not in (text := (folder / "said").read_text()):
        assert time.monotonic() < limit, text
        time.sleep(0.02)
    return text


def test_without_a_stage_it_says_what_to_do(tmp_path: Path) -> None:
    """STAGE that is not set, or empty, is exit code 2 with a sentence."""
    for more in ({}, {"STAGE": ""}):
        done = ask(tmp_path, **more)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "STAGE names no stage: set it to one of the configuration, or to orchestrator.\n"


def test_a_stage_of_one_s_own_runs(folder: Path) -> None:
    """STAGE names any row of the configuration; SIGTERM ends its worker in good order with 0."""
    with running(folder, "--metrics", "127.0.0.1:0", STAGE="hop") as process:
        until_said(folder, "The worker is ready.")
        assert (folder / "pipeline" / "00_b").is_dir()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert "The worker has stopped." in (folder / "said").read_text()


def test_arguments_are_passed_on(folder: Path) -> None:
    """What follows the image's name is the service's: --help of a stage, a command of the orchestrator."""
    assert "usage: grin-pipeline stage hop" in ask(folder, "--help", STAGE="hop").stdout
    done = ask(folder, "seed", "--barcode", "A1", STAGE="orchestrator")
    assert (done.returncode, done.stdout[:8]) == (0, "1 seeded"), done.stderr
    assert ask(folder, "--nonsense", STAGE="hop").returncode == 2


def test_an_unknown_stage_is_told(folder: Path) -> None:
    """A name that is no row is exit code 2, and the rows are named."""
    done = ask(folder, STAGE="hip")
    assert done.returncode == 2
    assert "There is no stage hip under filters; there are: hop." in done.stderr


def test_an_image_without_the_orchestrator_says_so(folder: Path) -> None:
    """In a stage's image, which holds no orchestrator, STAGE=orchestrator is exit code 2 with a sentence."""
    image = folder / "image"
    (image / "services").mkdir(parents=True)
    for name in ("__init__.py", "__main__.py"):
        (image / "services" / name).write_text((ROOT / "services" / name).read_text())
    # Without site-packages, through which this checkout's orchestrator would be found.
    command, env = [sys.executable, "-S", *IMAGE[3:]], {"PYTHONPATH": str(image), "STAGE": "orchestrator"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=20)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert "run the orchestrator's image" in done.stderr


def test_the_orchestrator_starts_no_stage_and_listens_as_told(folder: Path) -> None:
    """Without arguments it is `up --no-stages`; where it listens can be said, else it is port 8080 of all addresses."""
    listen = {"GRIN_PIPELINE_BOARD__LISTEN": "127.0.0.1:0"}
    with running(folder, STAGE="orchestrator", **listen) as process:
        until_said(folder, "0 done")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        assert children.split() == []
        assert not list((folder / "pipeline" / "workers").glob("hop*"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert '_BOARD_LISTENS = "0.0.0.0:8000", "0.0.0.0:8080"' in (ROOT / "services" / "__main__.py").read_text()


def test_a_stage_listens_on_all_addresses(folder: Path) -> None:
    """Where nothing is said, others than its own host reach /healthz: a container's loopback is nobody else's."""
    with running(folder, STAGE="hop"):
        text = until_said(folder, "The worker is ready.")
        port = int(text.split('"port": ')[1].split("}")[0])
        # An address of this host other than 127.0.0.1.
        asked = http.client.HTTPConnection("127.0.0.2", port, timeout=10)
        asked.request("GET", "/healthz")
        assert asked.getresponse().status == 200
        asked.close()


@pytest.mark.parametrize("after", [0, 0.01, 0.03, 0.06, 0.1, 0.2])
@pytest.mark.parametrize("stage", ["hop", "orchestrator"])
def test_sigterm_is_heard_from_the_first_moment(folder: Path, stage: str, after: float) -> None:
    """Sent while Python starts, while it imports or later, SIGTERM ends it with 0 and without a traceback."""
    listen = {"GRIN_PIPELINE_BOARD__LISTEN": "127.0.0.1:0"}
    with running(folder, STAGE=stage, **listen) as process:
        until_env_is_python(process)
        time.sleep(after)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, (folder / "said").read_text()
    assert "Traceback" not in (folder / "said").read_text()


def until_env_is_python(process: subprocess.Popen[str]) -> None:
    """Wait until `env` has blocked the signal and become Python: it kills before, but not the first of a container."""
    limit = time.monotonic() + 20
    while b"--block-signal" in (words := Path(f"/proc/{process.pid}/cmdline").read_bytes()) or b"services" not in words:
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.001)


def test_a_signal_that_waited_is_delivered(folder: Path) -> None:
    """Sent before Python has even begun, while blocked as the image has it, the signal is not lost: 0, and no board."""
    block = "signal.pthread_sigmask(signal.SIG_BLOCK, [15]); os.kill(os.getpid(), 15)"
    start = f"import os, signal; {block}; os.execv({sys.executable!r}, {IMAGE[2:]!r})"
    command, env = [sys.executable, "-c", start], environ(folder, STAGE="hop")
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, check=False, timeout=20)
    assert (done.returncode, done.stderr) == (0, b"")
    assert not (folder / "pipeline").exists()
