"""The probes of a container, each in a thread of its own, as a kubelet asks them."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Mapping
from typing import Any

from tests.kubernetes.player.reading import RefusedError, only

Verdict = Callable[[bool], None]


class Probe:
    """Asks over HTTP again and again; a verdict is told when it changes, after as many answers as it takes."""

    def __init__(self, spec: Mapping[str, Any], ports: Mapping[str, int], address: str) -> None:
        numbers = {"periodSeconds": 10, "timeoutSeconds": 1, "failureThreshold": 3, "successThreshold": 1}
        only("A probe", spec, "httpGet", "initialDelaySeconds", "terminationGracePeriodSeconds", *numbers)
        if "httpGet" not in spec:
            raise RefusedError("A probe: the player asks over HTTP only.")
        only("httpGet", spec["httpGet"], "path", "port")
        self.period, self.timeout, self.failures, self.successes = (spec.get(key, n) for key, n in numbers.items())
        self._delay = spec.get("initialDelaySeconds", 0)
        port = spec["httpGet"]["port"]
        self._where = (address, ports[port] if isinstance(port, str) else port, spec["httpGet"].get("path", "/"))
        self.last = "not asked yet"

    def watch(self, stop: threading.Event, verdict: Verdict, once: bool = False) -> None:
        """Ask until stopped, or until it has been well once."""
        stop.wait(self._delay)
        in_a_row, before, told = 0, True, None
        while not stop.is_set():
            well = self._well()
            in_a_row, before = (in_a_row + 1 if well is before else 1), well
            if in_a_row >= (self.successes if well else self.failures) and told is not well and not stop.is_set():
                told = well
                verdict(well)
                if once and well:
                    return
            stop.wait(self.period)

    def _well(self) -> bool:
        address, port, path = self._where
        connection = http.client.HTTPConnection(address, port, timeout=self.timeout)
        try:
            connection.request("GET", path, headers={"User-Agent": "kube-probe"})
            answer = connection.getresponse()
            self.last = f"{answer.status}: {answer.read().decode(errors='replace').strip()}"
        except (OSError, http.client.HTTPException) as error:
            self.last = repr(error)
            return False
        finally:
            connection.close()
        return 200 <= answer.status < 400


class Probes:
    """A container's probes: nothing else is asked before the startup probe has succeeded once."""

    def __init__(self, spec: Mapping[str, Any], address: str, ready: Verdict, unhealthy: Callable[[str], None]) -> None:
        ports = {port["name"]: port["containerPort"] for port in spec.get("ports", ()) if "name" in port}
        named = {key: Probe(spec[key], ports, address) for key in _KINDS if key in spec}
        self._startup, self._liveness, self._readiness = (named.get(key) for key in _KINDS)
        self._ready, self._unhealthy = ready, unhealthy
        self._stop = threading.Event()
        if self._startup:
            self._begin(self._startup, self._started, once=True)
        else:
            self._started(True)

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()

    def _begin(self, probe: Probe, verdict: Verdict, once: bool = False) -> None:
        threading.Thread(target=probe.watch, args=(self._stop, verdict, once), daemon=True).start()

    def _started(self, well: bool) -> None:
        if not well:
            return self._unhealthy(f"startup: {self._startup.last if self._startup else ''}")
        if self._liveness:
            self._begin(self._liveness, self._lives)
        if self._readiness:
            self._begin(self._readiness, self._ready)
        else:
            self._ready(True)
        return None

    def _lives(self, well: bool) -> None:
        if not well:
            self._unhealthy(f"liveness: {self._liveness.last if self._liveness else ''}")


_KINDS = ("startupProbe", "livenessProbe", "readinessProbe")
