"""What a stage author sees: `process(book, work)`, four errors, and hooks that do nothing.

    from common.stage import Stage

    class Hop(Stage):
        def process(self, book, work):
            (work / "note.txt").write_text(f"{book.barcode} was here")

What process() leaves in `work` becomes, by one rename, the book's files for the next stage. Input files that `work`
does not have are carried over (hard links), unless the class says `replaces_input = True`. A stage that leaves nothing
passes its input on untouched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from common.config import FilterRow, Settings
from common.errors import Halt, Redo, Reject, Retry, StageError

__all__ = ["Book", "Facts", "Halt", "Redo", "Reject", "Retry", "Stage", "StageError"]

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Book:
    """One book on its way: where its files are and what the ledger knows of it."""

    barcode: str
    folder: Path
    """<processing_bucket>/<barcode>: one sub-folder for each stage that has published something."""
    done_bucket: str
    attempt: int = 1
    """Which attempt of this stage this is, from 1."""
    upstream: tuple[str, ...] = ()
    """The names of the stages before this one, nearest first."""
    events: Sequence[Facts] = field(default=(), repr=False)
    """The ledger's events so far, oldest first."""
    token: Facts = field(default_factory=dict, repr=False)
    """The token as it stands on the board, unknown members too."""

    @property
    def input(self) -> Path:
        """The folder that the nearest earlier stage published; Redo when none did, so that it is made again."""
        if self.newest is None:
            raise Redo(f"Nothing of {self.barcode} is left in {self.folder}, so it is fetched again.")
        return self.folder / self.newest

    @property
    def newest(self) -> str | None:
        """The name of the nearest earlier stage that has published something; None when none has."""
        return next((name for name in self.upstream if (self.folder / name).is_dir()), None)

    def input_file(self, name: str) -> Path:
        """A file of the input folder; Redo when it is not there."""
        path = self.input / name
        if not path.is_file():
            raise Redo(f"{path} is missing, so it is made again.", local=True)
        return path


class Stage:
    """Takes a book from one bucket to the next. Subclasses need `process`; every other hook does nothing by itself."""

    replaces_input: ClassVar[bool] = False
    """True: only what process() left in `work` goes on to the next stage."""
    keeps_input: ClassVar[bool] = False
    """True: the input folder stays on disk after the token has moved (the encrypted archive, until the upload)."""
    syncs_itself: ClassVar[bool] = False
    """True: process() has synced what must survive a power cut; otherwise the worker syncs every file in `work`."""

    def __init__(self, settings: Settings, row: FilterRow) -> None:
        self.settings = settings
        self.row = row
        self.options: dict[str, Any] = row.options
        self.on_request: Callable[[str, str], None] = lambda _endpoint, _code: None
        """Told of each request to GRIN, for the metrics; the worker sets it."""

    def check(self) -> list[str]:
        """Sentences on what keeps this stage from starting at all; must leave nothing behind."""
        return []

    def opened(self) -> None:
        """Called once, before the first book."""

    def process(self, book: Book, work: Path) -> Facts | None:
        """Do the work. `work` is an empty folder of this attempt; what is returned goes to the ledger as facts.

        The facts `bytes_in` and `bytes_out` feed the metrics.
        """
        raise NotImplementedError(f"{type(self).__name__} must define process(self, book, work).")

    def moved(self, book: Book) -> None:
        """Called once the token is safely in the next bucket."""

    def close(self) -> None:
        """Called once, when the worker ends in good order."""
