"""A proxy in front of the S3 server that fails, cuts, lies and dawdles, seeded, and counts what it did.

Requests go through with the Host that the client has signed, so its signatures stay valid. Each is answered on a
connection of its own.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

# What can happen to any request; the first ones without carrying it out.
REFUSED, SLOW_DOWN, RESET_BEFORE = "500", "503", "reset before"
ANSWER_LOST, RESET_AFTER = "carried out, then 500", "carried out, then reset"
LATE, CUT_BODY, CUT_ANSWER = "late", "body cut", "answer cut"
# A 200 whose body is an error, as S3 may end a multipart upload.
ERROR_IN_200 = "error in a 200"
DENIED = "403"
FLIPPED = "one bit of the body changed"
FAULTS = (REFUSED, SLOW_DOWN, RESET_BEFORE, ANSWER_LOST, RESET_AFTER, LATE, CUT_BODY, CUT_ANSWER, ERROR_IN_200)
_CODES = {
    REFUSED: (500, "InternalError"),
    SLOW_DOWN: (503, "SlowDown"),
    ANSWER_LOST: (500, "InternalError"),
    DENIED: (403, "AccessDenied"),
}


@dataclass
class Request:
    """One request, whole."""

    method: str
    target: str
    head: bytes
    body: bytes

    def suits(self, fault: str) -> bool:
        """Whether this can happen to it."""
        if fault == ERROR_IN_200:
            return self.method == "POST" and "uploadId=" in self.target
        return len(self.body) > 1 if fault in (CUT_BODY, FLIPPED) else True


@dataclass
class Proxy:
    """What it does from now on, and what it has done; may be changed while it runs."""

    upstream: str
    """The server's URL."""
    rate: float = 0.0
    """Which part of all requests goes wrong, 0 to 1."""
    faults: tuple[str, ...] = FAULTS
    lateness: float = 1.0
    """Seconds that a late answer takes at most."""
    seed: int = 0
    down: bool = False
    """Nobody is there: every connection breaks at once."""
    endpoint: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    """Faults by kind."""
    seen: list[tuple[str, str]] = field(default_factory=list)
    """Method and target of each request that arrived."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._host, _, port = self.upstream.rpartition("//")[2].partition(":")
        self._port = int(port)
        self._open: set[asyncio.StreamWriter] = set()

    def choose(self, request: Request) -> str:
        """The fault of this request, empty for none."""
        if self._random.random() >= self.rate:
            return ""
        return self._random.choice([fault for fault in self.faults if request.suits(fault)] or [""])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: one request and its answer."""
        self._open.add(writer)
        try:
            await self._turn(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            linger = struct.pack("ii", 1, 0)
            with suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        finally:
            self._open.discard(writer)
            writer.close()

    async def _turn(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await _read(reader)
        self.seen.append((request.method, request.target))
        if self.down:
            raise ConnectionResetError
        if fault := self.choose(request):
            self.counts[fault] += 1
        writer.write(await self._answer(request, fault))
        await writer.drain()
        if fault == CUT_ANSWER:
            raise ConnectionResetError

    async def _answer(self, request: Request, fault: str) -> bytes:
        if fault in (REFUSED, SLOW_DOWN, DENIED):
            return _error(*_CODES[fault])
        if fault == ERROR_IN_200:
            return _error(200, "InternalError")
        if fault == RESET_BEFORE:
            raise ConnectionResetError
        if fault == LATE:
            await asyncio.sleep(self.lateness * self._random.random())
        answer = await self._carry_out(request, fault)
        if fault in (RESET_AFTER, CUT_BODY):
            raise ConnectionResetError
        if fault == ANSWER_LOST:
            return _error(*_CODES[fault])
        # At least a line of it arrives, and never all of it.
        return answer[: self._random.randrange(16, len(answer))] if fault == CUT_ANSWER else answer

    async def _carry_out(self, request: Request, fault: str) -> bytes:
        body = request.body
        if fault == CUT_BODY:
            body = body[: self._random.randrange(1, len(body))]
        elif fault == FLIPPED:
            place = self._random.randrange(len(body))
            body = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(request.head + body)
            if fault == CUT_BODY:
                writer.write_eof()
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()

    def break_all(self) -> None:
        """Break every connection that is open, whatever it is at."""
        for writer in list(self._open):
            writer.transport.abort()


@contextmanager
def proxying(proxy: Proxy) -> Iterator[Proxy]:
    """The proxy at work in a thread of its own, its address in `endpoint`."""
    started, loop = threading.Event(), asyncio.new_event_loop()
    ended = asyncio.Event()

    async def work() -> None:
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        proxy.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        started.set()
        await ended.wait()
        server.close()
        proxy.break_all()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(work()))
    thread.start()
    started.wait()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, target, _ = first.split(" ")
    kept = [line for line in lines if line.partition(":")[0].lower() != "connection"]
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in kept)}
    if "chunked" in fields.get("transfer-encoding", ""):
        raise NotImplementedError("no client of these tests sends chunks")
    body = await reader.readexactly(int(fields.get("content-length", 0)))
    # Closed by the server after its answer, which is how its end is told.
    whole = "\r\n".join([first, *kept, "Connection: close", "", ""])
    return Request(method, target, whole.encode("latin-1"), body)


def _error(code: int, name: str) -> bytes:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{name}</Code><Message>A test.</Message></Error>'
    head = f"HTTP/1.1 {code} {name}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n{body}".encode()
