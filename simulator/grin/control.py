"""What only a simulator has: pages under /_simulator/ to set faults and states, and to read the requests so far."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from simulator.grin import faults
from simulator.grin.entry import State
from simulator.grin.holdings import Holdings
from simulator.grin.messages import Reply, Request, answer_json

_KEPT = 100_000


class Control:
    """`GET|POST /_simulator/faults`, `GET|POST /_simulator/books` and `GET /_simulator/requests`."""

    def __init__(self, set_faults: faults.Faults, holdings: Holdings) -> None:
        self._faults = set_faults
        self._holdings = holdings
        self._requests: deque[dict[str, Any]] = deque(maxlen=_KEPT)

    def note(self, request: Request, status: int) -> None:
        """Remember a request of a client; its token is left out."""
        shown = {"method": request.method, "path": request.target, "status": status, "time": time.time()}
        if not request.path.startswith("/_simulator/"):
            self._requests.append({**shown, "range": request.headers.get("range", "")})

    def requests(self) -> list[dict[str, Any]]:
        """The clients' requests, oldest first."""
        return list(self._requests)

    def answer(self, request: Request) -> Reply:
        """The reply to one of these pages."""
        actions: dict[tuple[str, str], Callable[[bytes], Any]] = {
            ("GET", "faults"): lambda _: self._faults.shown(),
            ("POST", "faults"): self._set_faults,
            ("GET", "books"): lambda _: self._states(),
            ("POST", "books"): self._set_states,
            ("GET", "requests"): lambda _: self.requests(),
        }
        action = actions.get((request.method, request.path.removeprefix("/_simulator/")))
        if action is None:
            return answer_json({"error": "There are faults, books and requests; requests cannot be set."}, 404)
        try:
            return answer_json(action(request.body))
        except ValueError as error:
            return answer_json({"error": str(error)}, 400)

    def _set_faults(self, body: bytes) -> list[dict[str, Any]]:
        self._faults.set(faults.parse(json.loads(body)))
        return self._faults.shown()

    def _states(self) -> dict[str, str]:
        return {entry.barcode: entry.state for entry in self._holdings.listed("_all_books")}

    def _set_states(self, body: bytes) -> dict[str, str]:
        for barcode, state in json.loads(body).items():
            self._holdings.put(barcode, State(state))
        return self._states()
