"""What `doctor` says of one thing: how bad it is, a sentence with figures, and a cure."""

from __future__ import annotations

from dataclasses import asdict, dataclass

# A "must" is a promise of the board that does not hold here; a "warning" makes it slow or surprising, never wrong.
OK, WARNING, MUST = "ok", "warning", "must"


@dataclass(frozen=True)
class Finding:
    """One line of `doctor`; the cure is empty where all is well."""

    name: str
    level: str
    sentence: str
    cure: str = ""

    def as_dict(self) -> dict[str, str]:
        """For --json."""
        return asdict(self)


def finding(name: str, sentence: str, cure: str, *, must: object = False, warning: object = False) -> Finding:
    """A finding that is as bad as the worse of the two conditions says."""
    level = MUST if must else WARNING if warning else OK
    return Finding(name, level, sentence, "" if level == OK else cure)
