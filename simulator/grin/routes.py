"""Where the addresses of the server lead: Google's login, the simulator's own pages, and the library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote

from simulator.grin.consent import Unfit
from simulator.grin.control import Control
from simulator.grin.faults import DISTORTING, REPLACING, Faults, Kind, distorted, login_page, replacement
from simulator.grin.gate import Gate
from simulator.grin.messages import Reply, Request, answer_json, not_found, page, redirect
from simulator.grin.resources import Resources
from simulator.grin.tokens import Refused, TokenOffice

LOGIN = "/accounts.google.com/ServiceLogin"


@dataclass(frozen=True)
class Site:
    """All that the addresses of the server lead to."""

    resources: Resources
    gate: Gate
    tokens: TokenOffice
    faults: Faults
    control: Control
    sleep: Callable[[float], object]

    def answer(self, request: Request) -> Reply:
        """The reply to any request."""
        home = f"/libraries/{self.resources.library}"
        if request.path.startswith("/_simulator/"):
            return self.control.answer(request)
        if request.path == "/token":
            return self._faulty("token", request, self._token)
        if request.path == "/auth":
            return self._faulty("auth", request, self._auth)
        if request.path.startswith(LOGIN):
            return login_page()
        if request.path == home or request.path.startswith(f"{home}/"):
            return self._library(request.path.removeprefix(home).removeprefix("/"), request)
        return not_found()

    def _token(self, request: Request) -> Reply:
        try:
            return answer_json(self.tokens.grant(dict(parse_qsl(request.body.decode(errors="replace")))))
        except Refused as refusal:
            return answer_json({"error": str(refusal)}, 401 if str(refusal) == "invalid_client" else 400)

    def _auth(self, request: Request) -> Reply:
        denied = bool(self.faults.take("auth", {Kind.DENY}))
        try:
            return redirect(self.tokens.consent({name: request.value(name) for name in request.query}, denied=denied))
        except Unfit as error:
            return page("Error 400", f"<h1>Access blocked: authorization error</h1><p>Error 400: {error}</p>", 400)

    def _library(self, name: str, request: Request) -> Reply:
        refusal = self.gate.refusal(request)
        if refusal is not None:
            return refusal
        target = self.resources.barcode(name) or name
        if self.faults.take(target, {Kind.EXPIRE}):
            self.tokens.revoke_all()
        if not self.tokens.accepts(request.headers.get("authorization", "")):
            return redirect(f"{LOGIN}?service=libraries&continue={quote(request.target, safe='')}")
        if not self.gate.listed():
            return page("Error 403", "<h1>403. You are not on the access list of this library.</h1>", 403)
        return self._faulty(target, request, lambda asked: self.resources.answer(name, asked))

    def _faulty(self, target: str, request: Request, true_reply: Callable[[Request], Reply]) -> Reply:
        for fault in self.faults.take(target, REPLACING):
            return replacement(fault, request.target)
        reply = true_reply(request)
        for fault in self.faults.take(target, DISTORTING):
            reply = distorted(reply, fault, self.sleep, self.faults.dice)
        return reply
