"""What processes hold, sampled from outside over their lives, and whether it grows."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

_PAGE = os.sysconf("SC_PAGE_SIZE")
# A process that was seen less often than this says nothing about growth.
_ENOUGH = 20
DRIFT = 0.05


@dataclass
class Life:
    """One process (or the folders): what it is, and one series a gauge, in the order of time."""

    name: str
    memory: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    def look(self, pid: int) -> None:
        """Sample a process that may be gone already."""
        try:
            resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        except (OSError, IndexError):
            return
        # A process that has just ended and was not waited for yet holds nothing.
        if resident:
            self.memory.append(resident * _PAGE)
            self.descriptors.append(descriptors)

    def figures(self) -> list[Figure]:
        """Each gauge that was looked at often enough."""
        # Of memory the median; of what is opened and closed all the time the least, which only a leak raises.
        gauges = (("memory", self.memory, median), ("descriptors", self.descriptors, min), ("files", self.files, min))
        return [Figure.of(self.name, name, series, of) for name, series, of in gauges if len(series) >= _ENOUGH]


@dataclass(frozen=True)
class Figure:
    """One gauge of one process: after its warm-up, and at its end."""

    name: str
    gauge: str
    early: float
    late: float

    @classmethod
    def of(cls, name: str, gauge: str, series: Sequence[int], kind: Callable[[Sequence[int]], float]) -> Figure:
        """The second tenth of a series against its last tenth."""
        tenth = len(series) // 10
        return cls(name, gauge, kind(series[tenth : 2 * tenth]), kind(series[-tenth:]))

    @property
    def drift(self) -> float:
        """By what part it has grown."""
        return (self.late - self.early) / max(self.early, 1)

    @property
    def grows(self) -> bool:
        """Whether that is more than it may; one thing more, of things that are counted, is at work and not a leak."""
        return self.drift >= DRIFT and self.late - self.early >= 2

    def line(self) -> str:
        """The figure for a person."""
        scale, unit = (1e6, " MB") if self.gauge == "memory" else (1, "")
        note = "  GROWS" if self.grows else ""
        return (
            f"{self.name:<40} {self.gauge:<12} {self.early / scale:8.1f}{unit} -> {self.late / scale:8.1f}{unit} "
            f"{self.drift:+7.1%}{note}"
        )
