"""One line of JSON that any terminal, file and pipe can take."""

from __future__ import annotations

import json


def json_line(facts: object) -> str:
    """The JSON of this, without an end of line; what cannot be printed, or be encoded as UTF-8, is escaped as JSON can.

    Reasons and names may hold what steers a terminal or turns its text around, and halves of characters.
    """
    line = json.dumps(facts, ensure_ascii=False, default=str)
    return line if line.isprintable() else "".join(char if char.isprintable() else _escaped(char) for char in line)


def encodable(text: str) -> str:
    """The text with halves of characters, which no UTF-8 can hold, written out."""
    return text.encode("utf-8", "backslashreplace").decode()


def _escaped(char: str) -> str:
    return json.dumps(char)[1:-1]
