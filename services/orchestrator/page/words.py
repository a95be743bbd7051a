"""How the page says times and texts; all of it may be hostile, so it is one line that steers nothing."""

from __future__ import annotations

from markupsafe import Markup, escape

from common import board
from services.orchestrator import render
from services.orchestrator.choosing import DONE

# Longer texts are whole on the book's own page.
_CARD, _TEXT = 160, 400
_ENDS = (DONE, board.FAILED)
_CODE = Markup("<code>{}</code>")


def plain(text: object) -> str:
    """One line without control characters."""
    return render.plain(str(text))


def short(text: object, most: int = _TEXT) -> str:
    """The same, cut to a length that a list can bear."""
    return render.short(str(text), most)


def brief(text: object) -> str:
    """The same, as short as a card."""
    return short(text, _CARD)


def code(line: str) -> Markup:
    """A line in which what stands between backticks is to be typed."""
    parts = line.split("`")
    if len(parts) % 2 == 0:
        return escape(line)
    return Markup("").join(_CODE.format(part) if number % 2 else part for number, part in enumerate(parts))


def ago(seconds: float | None) -> str:
    """An age so coarse that it does not change with every look."""
    return "" if seconds is None else _coarse(seconds)


def since(seconds: float, state: str) -> str:
    """How long a token is in its state, when it came to its end, or when it will be tried again."""
    if seconds < 0:
        return f"for {_coarse(-seconds)} more"
    return f"{_coarse(seconds)} ago" if state in _ENDS else f"for {_coarse(seconds)}"


def _coarse(seconds: float) -> str:
    if seconds < 120:
        return f"{int(seconds // 5) * 5} s"
    for unit, size in (("d", 86_400), ("h", 3600)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds // 60)} min"


def moment(text: object) -> str:
    """A time of the ledger, which is UTC, to the second."""
    line = brief(text)
    return f"{line[:10]} {line[11:19]} UTC" if line.endswith("Z") and "T" in line else line
