"""Hooks for the seam: each counts the calls of the main thread, and does its harm at one of them."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

from common import board
from tests.board.seam import READS, WRITES

ALL = (*WRITES, *READS, "close")
_COMMON = Path(board.__file__).parent


class Steps:
    """Counts; what happens at step `at` is the matter of the subclasses."""

    def __init__(self, at: int = -1, is_on: Callable[[], bool] = lambda: True) -> None:
        self.at = at
        self.is_on = is_on
        self.count = 0

    def __call__(self, name: str, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One call through the seam; those of other threads, or before it begins, are let through."""
        if not self.is_on() or threading.current_thread() is not threading.main_thread():
            return call(*args, **kwargs)
        number, self.count = self.count, self.count + 1
        if number != self.at:
            return self.other(name, lambda: call(*args, **kwargs), args)
        return self.harm(name, lambda: call(*args, **kwargs), args)

    def other(self, name: str, call: Callable[[], Any], args: tuple[Any, ...]) -> Any:
        """What is done at every other step."""
        return call()

    def harm(self, name: str, call: Callable[[], Any], args: tuple[Any, ...]) -> Any:
        """What is done at the step."""
        return call()


class Record(Steps):
    """Writes down each step: the call, and which line of the project makes it."""

    def __init__(self, path: Path, is_on: Callable[[], bool]) -> None:
        super().__init__(is_on=is_on)
        self.path = path

    def other(self, name: str, call: Callable[[], Any], args: tuple[Any, ...]) -> Any:
        """Note it."""
        # At once, because a scene may end its process.
        with self.path.open("a") as file:
            file.write(f"{name} {call_site()}\n")
        return call()


class Kill(Steps):
    """SIGKILL before or after the step."""

    def __init__(self, at: int, is_on: Callable[[], bool], *, after: bool) -> None:
        super().__init__(at, is_on)
        self.after = after

    def harm(self, name: str, call: Callable[[], Any], args: tuple[Any, ...]) -> Any:
        """Die."""
        if self.after:
            with contextlib.suppress(OSError):
                call()
        os.kill(os.getpid(), signal.SIGKILL)


def each_place_once(steps: Iterable[tuple[int, str]], depth: int = 99) -> list[tuple[int, str]]:
    """Of the numbered steps those that come first by a place; places are the same that are so for `depth` lines."""
    first: dict[str, tuple[int, str]] = {}
    for at, step in steps:
        first.setdefault(" from ".join(step.split(" from ")[:depth]), (at, step))
    return list(first.values())


def call_site() -> str:
    """The lines of common/ that led to this call, nearest first."""
    frame: FrameType | None = sys._getframe()
    found: list[str] = []
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.parent == _COMMON:
            found.append(f"{path.name}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return " from ".join(found)


class Pause(Steps):
    """SIGSTOP before the step."""

    def harm(self, name: str, call: Callable[[], Any], args: tuple[Any, ...]) -> Any:
        """Stand still until somebody sends SIGCONT."""
        os.kill(os.getpid(), signal.SIGSTOP)
        return call()
