"""Records, through the seam, what the code under test really asks of the disk; can let it die on the way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from common import board, workfiles
from common.ledger import Ledger
from tests.board.powercut.disk import ROOT, Change, Disk, Entry, Fsync, Mark, Op, Utime, Write, scan
from tests.board.seam import WRITES, seam

# After any of these has returned, its effect must survive a power cut.
_DURABLE = (
    *((board, name) for name in ("finish", "fail", "defer", "give_back")),
    (Ledger, "append"),
    (Ledger, "register_all"),
    (board.Seeder, "seed_all"),
    (board.Seeder, "recover"),
    (workfiles, "publish"),
)
Deadly = Callable[[str, str], bool]
"""Whether the process dies before this call: its name, and the last path among its arguments."""


class Died(BaseException):
    """The recorded process is dead: it makes no change any more."""


class Recorder:
    """The log of what happened below one folder, and the disk as a process sees it."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.base = scan(folder)
        self.seen = self.base.copy()
        self.log: list[Op] = []
        self._next = 1_000_000
        self._fds: dict[int, tuple[int, int | None]] = {}
        self._deadly: Deadly | None = None
        self._dead = False

    @contextmanager
    def recording(self) -> Iterator[None]:
        """While this holds, every call is in the log, and what promises to be durable leaves its mark."""
        with ExitStack() as stack:
            stack.enter_context(seam(self._hook, (*WRITES, "close")))
            for owner, name in _DURABLE:
                stack.enter_context(mock.patch.object(owner, name, self._marking(getattr(owner, name))))
            yield

    @contextmanager
    def dying(self, deadly: Deadly) -> Iterator[None]:
        """The process dies inside, before the first call of which `deadly` says so; afterwards another one goes on."""
        self._deadly = deadly
        try:
            yield
        except Died:
            return
        finally:
            self._deadly, self._dead = None, False
        raise AssertionError("It was to die, and came to its end.")

    def mark(self, step: str) -> None:
        """A step has returned."""
        self.log.append(Mark(step))

    def _marking(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def marked(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            self.mark(function.__name__)
            return result

        return marked

    # --- the hook ---

    def _hook(self, name: str, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if name == "close":
            self._fds.pop(args[0], None)
            return call(*args, **kwargs)
        if self._deadly and self._deadly(name, str(args[1] if name in ("replace", "rename", "link") else args[0])):
            self._dead = True
        if self._dead:
            raise Died
        return getattr(self, f"_{name}")(call, args, kwargs)

    def _add(self, op: Op) -> None:
        self.log.append(op)
        self.seen.apply(op)

    def _entry(self, path: Any, dir_fd: int | None = None) -> Entry | None:
        """Where a path leads: a folder of ours and a name in it; None when it is outside."""
        if isinstance(path, int):
            raise NotImplementedError("a descriptor in a path's place")
        text = os.fspath(path)
        if dir_fd is not None and not text.startswith("/"):
            return (self._fds[dir_fd][0], text) if dir_fd in self._fds else None
        folder, _, name = text.rstrip("/").rpartition("/")
        if not f"{folder}/".startswith(f"{self.folder}/"):
            return None
        parent = self.seen.find(folder[len(self.folder) :])
        return None if parent is None else (parent, name)

    def _at(self, entry: Entry | None) -> int | None:
        return self.seen.names.get(entry[0], {}).get(entry[1]) if entry else None

    def _open(self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
        flags = args[1]
        entry = self._entry(args[0], kwargs.get("dir_fd"))
        inode = ROOT if os.fspath(args[0]) == self.folder else self._at(entry)
        fd = int(call(*args, **kwargs))
        self._fds.pop(fd, None)
        if (entry is None and inode is None) or flags & os.O_TMPFILE == os.O_TMPFILE:
            return fd
        if flags & os.O_TRUNC and inode is not None:
            raise NotImplementedError("a file that is emptied in place")
        if inode is None and entry is not None:
            inode = self._new("create", entry)
        self._fds[fd] = (inode or 0, None if flags & os.O_APPEND else 0)
        return fd

    def _new(self, kind: str, entry: Entry) -> int:
        self._next += 1
        self._add(Change(kind, self._next, come=entry))
        return self._next

    def _write(self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
        written = int(call(*args, **kwargs))
        if args[0] in self._fds:
            inode, at = self._fds[args[0]]
            offset = len(self.seen.data[inode]) if at is None else at
            self._add(Write(inode, offset, bytes(args[1][:written])))
            self._fds[args[0]] = (inode, None if at is None else at + written)
        return written

    def _fsync(self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        call(*args, **kwargs)
        if args[0] in self._fds:
            self._add(Fsync(self._fds[args[0]][0]))

    def _rename(self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        gone = self._entry(args[0], kwargs.get("src_dir_fd"))
        come = self._entry(args[1], kwargs.get("dst_dir_fd"))
        inode, before = self._at(gone), self._at(come)
        call(*args, **kwargs)
        # Of two names of one inode, rename(2) changes nothing.
        if inode is not None and inode != before:
            self._add(Change("rename", inode, gone, come))

    _replace = _rename

    def _link(self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        inode, come = self._at(self._entry(args[0])), self._entry(args[1])
        call(*args, **kwargs)
        if inode is not None:
            self._add(Change("link", inode, come=come))

    def _unlink(self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._removed("unlink", call, args, kwargs)

    def _rmdir(self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._removed("rmdir", call, args, kwargs)

    def _removed(self, kind: str, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        gone = self._entry(args[0], kwargs.get("dir_fd"))
        inode = self._at(gone)
        call(*args, **kwargs)
        if inode is not None:
            self._add(Change(kind, inode, gone=gone))

    def _mkdir(self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        entry = self._entry(args[0], kwargs.get("dir_fd"))
        call(*args, **kwargs)
        if entry is not None:
            self._new("mkdir", entry)

    def _utime(self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        call(*args, **kwargs)
        inode = self._at(self._entry(args[0]))
        if inode is not None:
            self._add(Utime(inode, os.lstat(args[0]).st_mtime_ns))

    def _ftruncate(self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        raise NotImplementedError("a file that is cut")

    def agrees(self) -> bool:
        """Whether the log made on the model what really lies in the folder: nothing escaped the seam."""
        real = scan(Path(self.folder))
        shape = [[(path, disk.data.get(inode)) for path, inode in disk.walk()] for disk in (self.seen, real)]
        return shape[0] == shape[1]


def history(base: Disk, log: list[Op]) -> Iterator[Disk]:
    """The disk as a process sees it: at first, and after each operation; always the same object."""
    disk = base.copy()
    yield disk
    for op in log:
        disk.apply(op)
        yield disk
