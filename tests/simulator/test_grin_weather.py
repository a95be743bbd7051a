"""Faults by the dice at the simulated GRIN: as likely as told, the same for the same seed, and every kind at once."""

from __future__ import annotations

import email.utils
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from simulator.grin.faults import Fault, Faults, Kind, parse
from simulator.grin.weather import every_fault
from tests.simulator.grin_server import BARCODES, SIZE, Served, served

ARCHIVE = f"{BARCODES[1]}.tar.gz.gpg"


def struck(seed: int, chance: float) -> list[bool]:
    """Which of a thousand requests a fault meets."""
    faults = Faults([Fault(Kind.STATUS, times=None, chance=chance)], seed)
    return [bool(faults.take("_converted", {Kind.STATUS})) for _ in range(1000)]


def test_dice() -> None:
    """A chance of 0.05 meets about one request in twenty, the same ones for the same seed."""
    assert 20 < sum(struck(1, 0.05)) < 90
    assert struck(1, 0.05) == struck(1, 0.05) != struck(2, 0.05)
    assert (sum(struck(1, 0)), sum(struck(1, 1))) == (0, 1000)


def test_dice_with_times_and_after() -> None:
    """`after` counts requests and `times` those that were met; a chance in JSON lasts unless it says how often."""
    faults = Faults(parse([{"kind": "status", "chance": 0.5, "after": 10, "times": 3}]))
    met = [bool(faults.take("_failed", {Kind.STATUS})) for _ in range(100)]
    assert (sum(met), any(met[:10])) == (3, False)
    assert faults.shown()[0]["met"] == 3
    assert [fault.times for fault in parse([{"kind": "cut", "chance": 0.5}, {"kind": "cut"}])] == [None, 1]


@pytest.mark.parametrize(
    ("on", "targets"),
    [
        ("archives", {"HV1ABC", "$B100"}),
        ("lists", {"", "_converted", "_barcode_search"}),
        ("*", {"HV1ABC", "$B100", "", "_converted", "_barcode_search", "_process"}),
        ("_process", {"_process"}),
        ("token", {"token"}),
    ],
)
def test_groups(on: str, targets: set[str]) -> None:
    """A fault can be on all archives, all lists, or on everything but the login."""
    fault = Fault(Kind.STATUS, on)
    every = ("HV1ABC", "$B100", "", "_converted", "_barcode_search", "_process", "token", "auth")
    assert {target for target in every if fault.meets(target)} == targets


def test_a_cut_anywhere(grin: Served) -> None:
    """With `at` null an archive is cut at a different byte each time, never past its end."""
    grin.server.faults.set([Fault(Kind.CUT, "archives", times=None, at=None)])
    lengths = []
    for _ in range(5):
        got = b""
        with pytest.raises(httpx.RemoteProtocolError), grin.http.stream("GET", url(grin, ARCHIVE)) as answer:
            for piece in answer.iter_raw():
                got += piece
        lengths.append(len(got))
    assert len(set(lengths)) == 5
    assert all(length < SIZE for length in lengths)


def url(grin: Served, name: str) -> str:
    """The address of one of the library's resources."""
    return f"{grin.server.url}/{grin.server.library}/{name}"


@pytest.mark.quirk("retry-after")
def test_retry_after_as_a_date(grin: Served) -> None:
    """Retry-After can be an HTTP date."""
    grin.server.faults.set([Fault(Kind.STATUS, "_failed", code=503, retry_after=60, as_date=True)])
    told = email.utils.parsedate_to_datetime(grin.get("_failed").headers["Retry-After"])
    assert 50 < told.timestamp() - time.time() < 62


def test_every_fault_at_once(books: Path) -> None:
    """Every kind is there; most answers are still good, and none of them is a reason to give up for good."""
    faults = list(every_fault(0.05))
    assert {fault.kind for fault in faults} == set(Kind) - {Kind.DENY}
    with served(books) as grin:
        grin.server.faults.set(faults)
        seen = Counter[int | str]()
        for number in range(90):
            if number % 5 == 0:
                person = {**grin.server.tokens.authorised_user(), "grant_type": "refresh_token"}
                grin.http.headers["Authorization"] = f"Bearer {grin.server.tokens.grant(person)['access_token']}"
            try:
                seen[grin.get((ARCHIVE, "_converted", "_process")[number % 3]).status_code] += 1
            except httpx.TransportError as error:
                seen[type(error).__name__] += 1
    assert seen[200] > 30
    assert seen[302] > 2
    assert seen["RemoteProtocolError"] + seen["ReadError"] > 1
    assert seen[403] == 0
    assert list(every_fault(0)) == []
    with pytest.raises(ValueError, match="0 to 1"):
        list(every_fault(1.5))
