"""Serves the page beside the orchestrator's loop, in a thread of its own."""

from __future__ import annotations

import logging
import resource
import socket
import threading
import time

import uvicorn

from common import logs
from common.errors import ConfigError
from common.health import is_any
from services.orchestrator.page.app import Page

# Whoever still listens to the live board when it ends is given so long, in seconds.
_GRACE = 1
_START = 10.0
# Connections at once: more are turned away, so that the loop always has files that it can open.
_MOST = 256
_NEVER = logging.CRITICAL + 1


class PageServer:
    """Serves until closed; `port` is the one it got (another one than asked for, when that was taken)."""

    def __init__(self, host: str, port: int, page: Page) -> None:
        self._page = page
        self._socket = _bound(host.strip("[]"), port)
        self.port = int(self._socket.getsockname()[1])
        taken = f" Port {port} is taken by another process." if port not in (0, self.port) else ""
        self.where = f"The board is at {self.address(host)}.{taken}"
        # What goes wrong in an answer stands in the orchestrator's log, with its traceback.
        for name, level in (("uvicorn.error", logging.ERROR), ("asyncio", logging.ERROR), ("python_multipart", _NEVER)):
            theirs = logging.getLogger(name)
            theirs.parent = logging.getLogger(logs.NAME)
            theirs.setLevel(level)
        _more_descriptors()
        config = uvicorn.Config(
            page.app(),
            access_log=False,
            log_config=None,
            server_header=False,
            # An address that a client may choose is no address for the audit line.
            proxy_headers=False,
            limit_concurrency=_MOST,
            lifespan="off",
            timeout_graceful_shutdown=_GRACE,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="page", daemon=True)
        self._thread.start()
        self._wait()

    def address(self, host: str) -> str:
        """Where a person on this machine opens the page."""
        return f"http://{'127.0.0.1' if is_any(host) else host}:{self.port}/"

    def close(self) -> None:
        """Stop serving."""
        self._page.close()
        self._server.should_exit = True
        self._thread.join(timeout=_GRACE + 5)
        self._socket.close()

    def _wait(self) -> None:
        """Until it answers: a signal that comes sooner must find the orchestrator's own handlers in place."""
        end = time.monotonic() + _START
        while not self._server.started and self._thread.is_alive() and time.monotonic() < end:
            time.sleep(0.005)


def _more_descriptors() -> None:
    """As many open files as this process may have: each reader of the page is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in (port, 0):
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((host, number))
        except OSError as error:
            made.close()
            if number == 0:
                cure = "Name an address of this machine, such as 127.0.0.1:8080."
                raise ConfigError([f"The page cannot listen at board.listen, {host}:{port}: {error}. {cure}"]) from None
        else:
            return made
    raise AssertionError("unreachable")
