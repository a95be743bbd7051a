"""A compose project of the demo: a name and ports of its own, struck and asked as a person would, gone in the end."""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from testcontainers.compose import ComposeContainer, DockerCompose

from tests.containers.images import ROOT, STAGES, docker

BOOKS, POISONED = 20, 3
INPUT = dict(zip(STAGES, ("00_to_download", "01_incoming", "02_decrypted", "03_extracted", "04_modified"), strict=True))
LAST = "05_uploaded"
SERVICES = ("simulator", "orchestrator", *STAGES)
MONITORING = ("prometheus", "grafana")
WITHOUT_MONITORING = tuple(word for name in MONITORING for word in ("--scale", f"{name}=0"))
_OF_A_BOARD = ("/demo/pipeline", "/demo/processing", "/demo/done")


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on at this moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


class Project:
    """The demo under a name of its own. What compose can do goes through testcontainers, or the same command line."""

    def __init__(self, folder: Path) -> None:
        self.name = f"grin-trial-{os.getpid()}-{secrets.token_hex(2)}"
        self.port, grafana = free_ports(2)
        settings = {"COMPOSE_PROJECT_NAME": self.name, "GRIN_PIPELINE_PORT": self.port, "GRAFANA_PORT": grafana}
        settings |= {"DEMO_BOOKS": BOOKS, "DEMO_POISONED": POISONED}
        env_file = folder / "project.env"
        env_file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        self.demo = DockerCompose(ROOT, env_file=str(env_file), profiles=["demo"], wait=False)
        self.production = DockerCompose(ROOT, env_file=str(env_file), wait=False)
        self.began = False

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self.run("down", "--volumes", "--remove-orphans", "--timeout", "1")

    # --- what a person types ---

    def run(self, *arguments: str, check: bool = True, profile: bool = True) -> subprocess.CompletedProcess[str]:
        """`docker compose`, with the demo's profile or as somebody types it who has forgotten that."""
        command = [*(self.demo if profile else self.production).compose_command_property, *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"{arguments}: exit {done.returncode}\n{done.stdout}{done.stderr}\n{self.logs()}")
        return done

    def up(self, *more: str, profile: bool = True) -> float:
        """`up -d`; how long it took, in seconds."""
        began = time.monotonic()
        self.run("up", "--detach", *more, profile=profile)
        self.began = True
        return time.monotonic() - began

    def afresh(self, *more: str) -> float:
        """The same books before an empty board, the monitoring left out; until all is started, in seconds."""
        self.wipe()
        return self.up(*WITHOUT_MONITORING, *more)

    def wipe(self) -> None:
        """Take the board and what has come home away; the simulator and its books stay."""
        if self.began:
            names = [str(one.Name) for one in self.containers("orchestrator", "prepare", *STAGES, *MONITORING)]
            docker("rm", "--force", *names)
            alone = ("run", "--rm", "--no-deps", "-T", "--entrypoint", "rm")
            self.run(*alone, "orchestrator", "-rf", *_OF_A_BOARD)

    def order(self, *command: str, service: str = "orchestrator") -> str:
        """What a command says in a service's container."""
        return self.demo.exec_in_container(list(command), service)[0]

    @contextmanager
    def paused(self, stage: str) -> Iterator[None]:
        """No worker of this stage takes a book meanwhile."""
        self.order("grin-pipeline", "pause", stage)
        try:
            yield
        finally:
            self.order("grin-pipeline", "resume", stage)

    # --- what is seen ---

    def status(self) -> dict[str, Any]:
        """`grin-pipeline status --json`."""
        return dict(json.loads(self.order("grin-pipeline", "status", "--json")))

    def tokens(self) -> dict[tuple[str, str], int]:
        """Tokens by bucket and state, from the orchestrator's published metrics; none while they do not answer."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except (OSError, http.client.HTTPException):
            return {}
        found = re.findall(r'^grin_bucket_tokens\{bucket="([^"]+)",state="([^"]+)"\} (\S+)$', text, re.MULTILINE)
        return {(bucket, state): int(float(count)) for bucket, state, count in found}

    def containers(self, *services: str) -> list[ComposeContainer]:
        """All of these services' containers, running or not; of all services without a name."""
        found = self.demo.get_containers(include_all=True)
        return [one for one in found if not services or one.Service in services]

    def states(self, *services: str) -> dict[str, dict[str, Any]]:
        """What the engine says of each container, by its name."""
        names = [str(one.Name) for one in self.containers(*services)]
        return {one["Name"].lstrip("/"): one["State"] for one in json.loads(docker("inspect", *names))}

    def logs(self) -> str:
        """The last words of every container."""
        command = [*self.demo.compose_command_property, "logs", "--no-color", "--tail", "25"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        return f"{done.stdout}{done.stderr}"

    # --- waiting ---

    def until(self, condition: Callable[[], object], seconds: float, what: str) -> float:
        """Wait for it; how long it took, in seconds. When it does not come, the logs say why."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > seconds:
                raise AssertionError(f"{what}: not within {seconds:g} s.\n{self.tokens()}\n{self.logs()}")
            time.sleep(0.1)
        return time.monotonic() - began

    def until_home(self, seconds: float = 120) -> float:
        """Until every book has come to its end; how long it took, in seconds."""
        return self.until(self._settled, seconds, "All books at their end")

    def _settled(self) -> bool:
        counts = self.tokens()
        failed = sum(count for (_, state), count in counts.items() if state == "failed")
        home = counts.get((LAST, "waiting"), 0)
        return (failed, home) == (POISONED, BOOKS - POISONED) == (POISONED, sum(counts.values()) - failed)

    def healthy(self, *services: str) -> bool:
        """Whether every container of these services runs and is healthy."""
        states = self.states(*services).values()
        return all(state["Status"] == "running" and state["Health"]["Status"] == "healthy" for state in states)

    def until_healthy(self, *services: str, seconds: float = 60) -> float:
        """Until all of them are healthy; how long it took, in seconds."""
        return self.until(lambda: self.healthy(*services), seconds, f"{services} healthy")

    def at_work(self, stage: str) -> bool:
        """Whether a worker of this stage has a book in hand."""
        return self.tokens().get((INPUT[stage], "working"), 0) > 0

    def catch(self, stage: str, seconds: float = 30) -> str:
        """Let a paused stage go on, and freeze its only container with a book in hand; the container's name."""
        name = f"{self.name}-{stage}-1"
        docker("pause", name)
        self.order("grin-pipeline", "resume", stage)
        end = time.monotonic() + seconds
        while not self.at_work(stage):
            assert time.monotonic() < end, f"The {stage} had no book in hand:\n{self.tokens()}\n{self.logs()}"
            # Less than a book's time goes by between the two.
            docker("unpause", name)
            docker("pause", name)
        return name

    def pid(self, service: str) -> int:
        """The process id, as the host counts, of a service's first process."""
        return int(docker("inspect", "--format", "{{.State.Pid}}", f"{self.name}-{service}-1"))
