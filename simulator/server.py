"""The simulated GRIN as an HTTP server on this machine: HTTP/1.1, keep-alive, a thread for each connection."""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from simulator.grin.books import Books, Inventory
from simulator.grin.clock import Clock
from simulator.grin.control import Control
from simulator.grin.entry import State, read_facts
from simulator.grin.faults import Fault, Faults, Kind
from simulator.grin.gate import Gate
from simulator.grin.holdings import Holdings, Limits
from simulator.grin.messages import Hangup, Reply, Request, page
from simulator.grin.mix import drawn
from simulator.grin.numbers import Numbers
from simulator.grin.resources import Resources
from simulator.grin.routes import Site
from simulator.grin.tokens import TokenOffice
from simulator.grin.variants import Variants

_MAX_BODY = 16 * 1024 * 1024


@dataclass(frozen=True)
class Options:
    """How this GRIN is to be: books that do not start as CONVERTED, limits, the life of a token in seconds, faults."""

    states: Mapping[str, State] = field(default_factory=dict)
    only: Collection[str] = ()
    """The barcodes that are offered; empty for all of the folder."""
    limits: Limits = field(default_factory=Limits)
    token_lifetime: float = 3600
    person: Mapping[str, str] | None = None
    """The client's and the person's secrets, as an authorised user's file has them; None: made anew."""
    faults: Iterable[Fault] = ()
    fault_seed: int = 1
    inventory: int = 0
    """How many made-up books there are besides the folder's, which take a few bytes of memory each."""
    mix: Mapping[State, float] = field(default_factory=dict)
    """The shares of some states among them; the other states share the rest as at real libraries."""
    seed: int = 1
    archive: Path | None = None
    """What each made-up book in the pool has as its archive; None: 404, unless `maker` makes one."""
    maker: Callable[[str], Path] | None = None
    """Gives the archive of a barcode that has none."""
    variants: Variants = field(default_factory=Variants)
    speed: float = 1
    """How many seconds go by at GRIN in one of ours: conversions and dates, not tokens."""
    listen: str = "127.0.0.1"
    known_as: str = "127.0.0.1"
    """The host name in its own addresses."""


class GrinServer:
    """Serves a library folder from entering to leaving the context; port 0 takes a free one."""

    def __init__(self, folder: Path, library: str, port: int = 0, options: Options | None = None) -> None:
        options = options or Options()
        self.library = library
        self.faults = Faults(options.faults, options.fault_seed)
        self.tokens = TokenOffice(options.token_lifetime, options.person)
        books = Books(read_facts(folder, options.only), _inventory(options))
        self.holdings = Holdings(books, options.states, options.limits, self._fails, Clock(options.speed))
        self.control = Control(self.faults, self.holdings)
        self._closing = threading.Event()
        resources = Resources(library, self.holdings, self.faults, options.variants, options.maker)
        gate = Gate(options.variants)
        site = Site(resources, gate, self.tokens, self.faults, self.control, self._closing.wait)
        self._listener = _Listener((options.listen, port), site)
        self._origin = f"http://{options.known_as}:{self._listener.server_port}"
        self.tokens.token_uri, self.tokens.auth_uri = self.token_uri, self.auth_uri
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.02,), name="grin", daemon=True)

    @property
    def url(self) -> str:
        """The base URL, up to `/libraries`."""
        return f"{self._origin}/libraries"

    @property
    def token_uri(self) -> str:
        """The token endpoint."""
        return f"{self._origin}/token"

    @property
    def auth_uri(self) -> str:
        """The page of consent."""
        return f"{self._origin}/auth"

    def client_secret_file(self, path: Path) -> Path:
        """Write an installed client's file, with which consent can be asked for, readable by its owner only."""
        return _write_private(path, self.tokens.client_secret())

    def credentials_file(self, path: Path) -> Path:
        """Write an authorised user's file, readable by its owner only."""
        return _write_private(path, self.tokens.authorised_user())

    def service_account_file(self, path: Path) -> Path:
        """Write a service account's key file, readable by its owner only."""
        return _write_private(path, self.tokens.service_account())

    def __enter__(self) -> GrinServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._listener.shutdown()
        self._thread.join()
        self._listener.hang_up()
        self._listener.server_close()

    def _fails(self, barcode: str) -> bool:
        return bool(self.faults.take(barcode, {Kind.FAIL_CONVERSION}))


class _Listener(ThreadingHTTPServer):
    # Not daemons, so that closing the server waits for them; hang_up() lets them end at once.
    daemon_threads = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], site: Site) -> None:
        self.site = site
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End all connections."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):  # it may just have ended by itself
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener
    server_version = "GRIN-simulator"
    _noted: dict[str, Any]

    def do_GET(self) -> None:
        self._exchange()

    def do_HEAD(self) -> None:
        self._exchange()

    def do_POST(self) -> None:
        self._exchange()

    def _exchange(self) -> None:
        request = self._read()
        if request is None:
            return
        try:
            reply = self.server.site.answer(request)
        except ValueError as error:
            reply = page("Error 400", f"<h1>400</h1><p>{type(error).__name__}</p>", 400)
        self._noted = self.server.site.control.note(request, reply.status)
        self._send(reply)

    def log_message(self, *_: object) -> None:
        """Say nothing: the requests so far are at /_simulator/requests."""

    def _read(self) -> Request | None:
        promised = self.headers.get("Content-Length", "")
        length = int(promised) if promised.isdecimal() else 0
        if length > _MAX_BODY:
            self.close_connection = True
            self.send_error(413)
            return None
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(self.command, self.path, headers, self.rfile.read(length))

    def _send(self, reply: Reply) -> None:
        if not reply.status:
            self._hang_up(reset=True)
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.length is not None:
            self.send_header("Content-Length", str(reply.length))
        elif reply.framed:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(reply)

    def _send_body(self, reply: Reply) -> None:
        try:
            sent = (
                self._send_chunks(reply.body) if reply.length is None and reply.framed else self._send_raw(reply.body)
            )
        except Hangup as hangup:
            self._hang_up(reset=hangup.reset)
            return
        if reply.length is not None and sent != reply.length:
            self.close_connection = True

    def _send_raw(self, body: Iterable[bytes]) -> int:
        sent = 0
        for piece in body:
            self.wfile.write(piece)
            sent += len(piece)
            self._noted["sent"] = sent
        return sent

    def _send_chunks(self, body: Iterable[bytes]) -> int:
        sent = 0
        for piece in filter(None, body):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            sent += len(piece)
            self._noted["sent"] = sent
        self.wfile.write(b"0\r\n\r\n")
        return sent

    def _hang_up(self, *, reset: bool) -> None:
        self.close_connection = True
        if reset:
            # Lingering for no time at all turns the close into a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


def _inventory(options: Options) -> Inventory:
    most = {
        State.CONVERTED: (options.limits.converted_pool, State.PREVIOUSLY_DOWNLOADED),
        State.IN_PROCESS: (options.limits.queue_limit, State.NEW),
    }
    numbers = Numbers(options.inventory, options.seed)
    return Inventory(numbers, drawn(options.mix, options.inventory, options.seed, most), options.archive)


def _write_private(path: Path, value: Mapping[str, Any]) -> Path:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(value, file)
    return path
