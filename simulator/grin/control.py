"""What only a simulator has: pages under /_simulator/ to set faults and states, and to read what is true."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from simulator.grin import faults
from simulator.grin.entry import State
from simulator.grin.holdings import Holdings
from simulator.grin.messages import Reply, Request, answer_json, lines

_KEPT = 100_000


class Control:
    """`GET|POST faults`, `GET|POST books`, `GET truth`, `GET queue` and `GET requests`, all under `/_simulator/`."""

    def __init__(self, set_faults: faults.Faults, holdings: Holdings) -> None:
        self._faults = set_faults
        self._holdings = holdings
        self._requests: deque[dict[str, Any]] = deque(maxlen=_KEPT)

    def note(self, request: Request, status: int) -> dict[str, Any]:
        """Remember a request of a client, without its token; the server counts the bytes of the body in `sent`."""
        noted = {"method": request.method, "path": request.target, "status": status, "time": time.time(), "sent": 0}
        noted["range"] = request.headers.get("range", "")
        if not request.path.startswith("/_simulator/"):
            self._requests.append(noted)
        return noted

    def requests(self) -> list[dict[str, Any]]:
        """The clients' requests, oldest first."""
        return list(self._requests)

    def answer(self, request: Request) -> Reply:
        """The reply to one of these pages."""
        page = (request.method, request.path.removeprefix("/_simulator/"))
        actions: dict[tuple[str, str], Callable[[bytes], Any]] = {
            ("GET", "faults"): lambda _: self._faults.shown(),
            ("POST", "faults"): self._set_faults,
            ("GET", "books"): lambda _: self._states(),
            ("POST", "books"): self._set_states,
            ("GET", "queue"): lambda _: self._holdings.queue(),
            ("GET", "requests"): lambda _: self.requests(),
        }
        try:
            if page == ("GET", "truth"):
                return lines(self.truth(request.query.get("state"), request.query.get("where")))
            if page not in actions:
                return answer_json({"error": "There are faults, books, truth, queue and requests."}, 404)
            return answer_json(actions[page](request.body))
        except ValueError as error:
            return answer_json({"error": str(error)}, 400)

    def truth(self, states: list[str] | None = None, places: list[str] | None = None) -> Iterator[str]:
        """`barcode⇥state⇥where` for the books in these states, FAILED told apart, and places: pool, queue, none."""
        numbers = self._holdings.in_states([State(state) for state in states or State])
        wanted = None if places is None else {"" if place == "none" else place for place in places}
        return (
            f"{entry.barcode}\t{entry.state}\t{where}"
            for number in numbers
            for where in (self._holdings.where(number),)
            if wanted is None or where in wanted
            for entry in (self._holdings.entry(number),)
        )

    def _set_faults(self, body: bytes) -> list[dict[str, Any]]:
        self._faults.set(faults.parse(json.loads(body)))
        return self._faults.shown()

    def _states(self) -> dict[str, str]:
        entries = self._holdings.entries(self._holdings.numbers("_all_books"))
        return {entry.barcode: entry.state for entry in entries}

    def _set_states(self, body: bytes) -> dict[str, str]:
        wanted = json.loads(body)
        for barcode, state in wanted.items():
            self._holdings.put(barcode, State(state))
        return {entry.barcode: entry.state for entry in self._holdings.find(wanted)}
