"""Every state in which a power cut may leave the disk, at every point of a log.

What an fsync has pushed to the disk is there. Of what was done since then, two kinds of disk are enumerated:

- ordered: changes of names reach the disk in the order in which they were made (ext4, xfs: one journal), cut anywhere;
- weak: only what one folder's own changes are is in order. Changes of different folders overtake each other, and an
  fsync pushes nothing but the folder or file that it names (POSIX). A folder's own name is its parent's matter.

With either, a file's unsynced bytes are absent, there by half, there as zeros, or there, whatever became of its name.

Bounds: of the weak states all are made where there are at most `MOST` at one point; where there are more, those that
lack at most `apart` changes (and what builds on them), and those that have at most `apart` of them (and what they build
on). Of the bytes all combinations are made of up to two unsynced files; of more, all alike, and each one not whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product
from typing import TypeAlias

from tests.board.powercut.disk import Change, Disk, Fsync, Mark, Op, Utime, Write, patched

MOST = 128
_KINDS = ("absent", "torn", "zeros", "whole")


Plan: TypeAlias = tuple[frozenset[int], frozenset[int], int]
"""Which changes of names and of times are on the disk, and how many operations on bytes were done."""


@dataclass(frozen=True)
class Cut:
    """The power is cut when so many operations of the log are done."""

    base: Disk
    log: list[Op]
    point: int
    before: dict[int, frozenset[int]]

    @cached_property
    def done(self) -> list[Op]:
        """What was asked of the disk before."""
        return self.log[: self.point]

    @cached_property
    def synced(self) -> frozenset[int]:
        """The changes that an fsync of one of their folders has pushed to the disk, with what they build on."""
        last: dict[int, int] = {op.inode: index for index, op in enumerate(self.done) if isinstance(op, Fsync)}
        pushed: set[int] = set()
        for index, op in enumerate(self.done):
            if isinstance(op, Change) and any(index < last.get(folder, -1) for folder in op.folders):
                pushed |= {index} | self.before[index]
        return frozenset(pushed)

    @cached_property
    def loose(self) -> list[int]:
        """The changes that may or may not be on the disk, in order."""
        return [i for i, op in enumerate(self.done) if isinstance(op, Change) and i not in self.synced]

    def ordered(self) -> Iterator[tuple[frozenset[int], int]]:
        """The changes on a disk that keeps all in order, and the point up to which times are on it as well."""
        floor = max(self.synced, default=-1) + 1
        for end in sorted({floor, *(index + 1 for index in self.loose if index >= floor), self.point}):
            yield frozenset(i for i in range(end) if isinstance(self.log[i], Change)), end

    def weak(self, apart: int) -> Iterator[frozenset[int]]:
        """The changes on a disk that keeps each folder's in order, within the bounds."""
        every = self._every_weak()
        for kept in every if every is not None else self._some_weak(apart):
            yield self.synced | kept

    def _every_weak(self) -> set[frozenset[int]] | None:
        loose = frozenset(self.loose)
        found = {frozenset[int]()}
        for index in self.loose:
            found |= {kept | {index} for kept in found if self.before[index] & loose <= kept}
            if len(found) > MOST:
                return None
        return found

    def _some_weak(self, apart: int) -> set[frozenset[int]]:
        loose = frozenset(self.loose)
        found = set()
        for chosen in (some for size in range(apart + 1) for some in combinations(self.loose, size)):
            needed = frozenset(chosen).union(*(self.before[index] for index in chosen)) & loose
            lost = frozenset(i for i in loose if i in chosen or self.before[i] & frozenset(chosen))
            found |= {needed, loose - lost}
        return found

    # --- bytes ---

    @cached_property
    def unsynced(self) -> dict[int, tuple[bytes, bytes]]:
        """Files with bytes that no fsync has pushed: what was pushed, and what was written in all."""
        pushed, written = dict[int, bytes](), dict[int, bytes]()
        for op in self.done:
            if isinstance(op, Write):
                written[op.inode] = patched(written.get(op.inode, self._at_first(op.inode)), op)
            elif isinstance(op, Fsync) and op.inode in written:
                pushed[op.inode] = written[op.inode]
        pairs = {inode: (pushed.get(inode, self._at_first(inode)), data) for inode, data in written.items()}
        return {inode: pair for inode, pair in pairs.items() if pair[0] != pair[1]}

    def _at_first(self, inode: int) -> bytes:
        return self.base.data.get(inode, b"")

    # --- disks ---

    def plans(self, apart: int) -> Iterator[Plan]:
        """What is on each disk that may be left; the same plan at another cut of the same log means the same disks."""
        times = frozenset(i for i, op in enumerate(self.done) if isinstance(op, Utime))
        bytes_ = sum(isinstance(op, Write | Fsync) for op in self.done)
        for changes, end in self.ordered():
            yield changes, frozenset(i for i in times if i < end), bytes_
        for changes in self.weak(apart):
            yield changes, frozenset(), bytes_

    def disks(self, plan: Plan) -> Iterator[Disk]:
        """The disks of a plan: they differ in the unsynced bytes."""
        disk = self._planned(plan[0] | plan[1])
        reached = {inode for _, inode in disk.walk()}
        open_ = [inode for inode in self.unsynced if inode in reached]
        for kinds in _combined(len(open_)):
            varied = disk.copy()
            for inode, kind in zip(open_, kinds, strict=True):
                varied.data[inode] = _as(kind, *self.unsynced[inode])
            yield varied

    def _planned(self, there: frozenset[int]) -> Disk:
        disk = self.base.copy()
        for index, op in enumerate(self.done):
            if index in there:
                disk.apply(op)
            elif isinstance(op, Write):
                # All that was written; what had not been pushed is varied afterwards.
                disk.data[op.inode] = patched(disk.data.get(op.inode, b""), op)
        return disk


def _combined(files: int) -> Iterable[tuple[str, ...]]:
    if files <= 2:
        return product(_KINDS, repeat=files)
    one_not = {("whole",) * i + (kind,) + ("whole",) * (files - i - 1) for i in range(files) for kind in _KINDS}
    return sorted(one_not | {(kind,) * files for kind in _KINDS})


def _as(kind: str, pushed: bytes, written: bytes) -> bytes:
    assert written.startswith(pushed), "a file is written anew in place, which the enumeration does not know"
    more = written[len(pushed) :]
    return pushed + {"absent": b"", "torn": more[: len(more) // 2], "zeros": b"\0" * len(more), "whole": more}[kind]


def cuts(base: Disk, log: list[Op]) -> Iterator[Cut]:
    """A cut at every point that differs: before the first operation, and after each with the marks that follow it."""
    before = _predecessors(log)
    for point in range(len(log) + 1):
        if point == len(log) or not isinstance(log[point], Mark):
            yield Cut(base, log, point, before)


def _predecessors(log: list[Op]) -> dict[int, frozenset[int]]:
    """For each change those that must be on the disk before it: all earlier ones of its folders, and theirs."""
    newest: dict[int, frozenset[int]] = {}
    found: dict[int, frozenset[int]] = {}
    for index, op in enumerate(log):
        if isinstance(op, Change):
            found[index] = frozenset().union(*(newest.get(folder, frozenset()) for folder in op.folders))
            for folder in op.folders:
                newest[folder] = newest.get(folder, frozenset()) | found[index] | {index}
    return found
