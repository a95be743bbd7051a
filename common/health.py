"""A small HTTP server beside the loop: /metrics for Prometheus, /healthz (the loop turns), /readyz (it may claim)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_ANY = frozenset({"", "0.0.0.0", "::", "[::]"})  # noqa: S104 - what such an address looks like
# A check says whether all is well, and a sentence.
Check = Callable[[], tuple[bool, str]]


class _Handler(BaseHTTPRequestHandler):
    registry: ClassVar[CollectorRegistry]
    checks: ClassVar[dict[str, Check]]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(200, CONTENT_TYPE_LATEST, generate_latest(self.registry))
        elif path in self.checks:
            well, text = self.checks[path]()
            self._answer(200 if well else 503, "text/plain; charset=utf-8", text.encode() + b"\n")
        else:
            self._answer(404, "text/plain; charset=utf-8", b"There is /metrics, /healthz and /readyz.\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Scrapes are not worth a line each."""

    def _answer(self, code: int, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def is_any(host: str) -> bool:
    """Whether who listens there listens on all addresses."""
    return host in _ANY


def metrics_url(host: str, port: int) -> str:
    """Where others find the metrics of a server that listens there; on all addresses: by this machine's name."""
    return f"http://{socket.gethostname() if is_any(host) else host}:{port}/metrics"


class HealthServer:
    """Serves until closed; `port` is the one it got (another one than asked for, when that was taken)."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, checks: dict[str, Check]) -> None:
        handler = type("Handler", (_Handler,), {"registry": registry, "checks": checks})
        try:
            self._server = ThreadingHTTPServer((host, port), handler)
        except OSError:
            self._server = ThreadingHTTPServer((host, 0), handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)
