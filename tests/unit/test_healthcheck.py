"""What the engine runs every few seconds: a process that asks a real socket, and says it by its exit code."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from common.health import HealthServer

ROOT = Path(__file__).parents[2]
FILE = ROOT / "common" / "healthcheck.py"


def check(port: int, folder: Path, stage: str = "extractor") -> subprocess.CompletedProcess[str]:
    """Run the file as an image does, but with this port in the place of its own."""
    copy = folder / "healthcheck.py"
    copy.write_text(FILE.read_text().replace("8080 if", f"{port} if").replace("else 8000", f"else {port}"))
    command = [sys.executable, "-I", "-S", str(copy)]
    return subprocess.run(command, capture_output=True, text=True, env={"STAGE": stage}, check=False, timeout=30)


@pytest.mark.parametrize(("is_well", "code"), [(True, 0), (False, 1)])
def test_it_says_what_the_service_says(tmp_path: Path, is_well: bool, code: int) -> None:
    """200 of /healthz is 0, 503 is 1; its sentence is passed on, so that `docker inspect` shows it."""
    answer = (is_well, "the loop turned 2 seconds ago")
    server = HealthServer("127.0.0.1", 0, CollectorRegistry(), {"/healthz": lambda: answer})
    try:
        done = check(server.port, tmp_path)
    finally:
        server.close()
    assert (done.returncode, done.stdout) == (code, "the loop turned 2 seconds ago\n")
    assert done.stderr == ""


def test_nobody_there_is_1(tmp_path: Path) -> None:
    """A port that nobody listens at is 1 with a sentence, and no traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        done = check(port, tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith(f"Nobody answers on port {port}: ")
    assert done.stderr == ""


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port at which one caller is answered by a function of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        thread.join(timeout=10)


ANSWERS = [b"", b"\r\n", b"HTTP/1.0", b"\xff\xfe\x00200 200", b"HTTP/1.0 404 Not Found\r\n\r\n200", b"200 OK\r\n\r\n"]


@pytest.mark.parametrize("said", ANSWERS)
def test_whatever_else_is_answered_is_1(tmp_path: Path, said: bytes) -> None:
    """Nothing, half of an answer, bytes that are no text, another code: 1, and never a traceback."""

    def answer(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(said)

    with listening(answer) as port:
        done = check(port, tmp_path)
    assert (done.returncode, done.stderr) == (1, "")


def test_an_answer_in_pieces_is_put_together(tmp_path: Path) -> None:
    """An answer that comes in pieces is read to its end before it is judged."""

    def answer(connection: socket.socket) -> None:
        connection.recv(100)
        for piece in (b"HTT", b"P/1.1 200 OK\r\nA: b\r", b"\n\r\nwor", b"king\n"):
            connection.sendall(piece)
            time.sleep(0.02)

    with listening(answer) as port:
        done = check(port, tmp_path)
    assert (done.returncode, done.stdout) == (0, "working\n")


def test_silence_is_1_in_the_end(tmp_path: Path) -> None:
    """A service that takes the connection and says nothing is given up after the file's own patience."""
    over = threading.Event()

    def say_nothing(_: socket.socket) -> None:
        over.wait(20)

    with listening(say_nothing) as port:
        text = FILE.read_text()
        assert "_PATIENCE = 5.0" in text
        copy = tmp_path / "healthcheck.py"
        copy.write_text(text.replace("else 8000", f"else {port}").replace("_PATIENCE = 5.0", "_PATIENCE = 0.2"))
        done = subprocess.run([sys.executable, str(copy)], capture_output=True, text=True, check=False, timeout=10)
        over.set()
    assert done.returncode == 1
    assert "timed out" in done.stdout


@pytest.mark.parametrize(("stage", "port"), [("orchestrator", 8080), ("extractor", 8000), ("", 8000)])
def test_it_asks_where_the_image_listens(stage: str, port: int) -> None:
    """The orchestrator is asked at 8080, every stage at 8000, as services/__main__.py has them listen."""
    code = f"import runpy; print(runpy.run_path({str(FILE)!r})['_PORT'])"
    environ = {**os.environ, "STAGE": stage}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True)
    assert int(done.stdout) == port
    assert f":{port}" in (ROOT / "services" / "__main__.py").read_text()


def test_it_loads_nothing_but_sockets() -> None:
    """Run every 5 seconds in each container, it must cost next to nothing: no HTTP client, no TLS, no JSON."""
    code = f"import sys, runpy; runpy.run_path({str(FILE)!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not {"http", "http.client", "urllib.request", "ssl", "email", "json", "asyncio"} & loaded
