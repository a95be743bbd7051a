"""The decryptor: one encrypted archive in, one .tar.gz out, accepted only when gpg vouches for every byte of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import ClassVar

from common import durable
from common.errors import ConfigError
from common.ledger import last, now
from common.options import complaints
from common.settings import Seconds, Section, Size
from common.stage import Book, Facts, Halt, Redo, Reject, Retry, Stage
from services.decryptor.gpg import Gpg, Outcome


class Options(Section):
    """Whether an archive must carry an integrity packet (very old ones do not); the bytes and seconds it may take."""

    require_mdc: bool = True
    max_bytes: Size = 64 << 30
    max_seconds: Seconds = 3600


class Decryptor(Stage):
    """Takes `<BARCODE>.tar.gz.gpg`, leaves `<BARCODE>.tar.gz`; the archive stays until the book is stored."""

    keeps_input = True
    replaces_input = True
    syncs_itself = True
    _gpg: Gpg | None = None
    _opened_at: ClassVar[str] = ""
    """When this process last opened an archive, as the ledger writes times; outlives a halt."""

    def check(self) -> list[str]:
        """gpg must be there, and a passphrase."""
        problems = complaints(Options, self.options)
        if shutil.which("gpg") is None:
            problems.append("gpg is not installed, and the decryptor needs it: apt-get install gnupg.")
        try:
            self._passphrase()
        except Halt as halt:
            problems.append(halt.reason)
        return problems

    def process(self, book: Book, work: Path) -> Facts:
        """Decrypt, and believe gpg only when exit code and status lines agree."""
        archive = book.input_file(f"{book.barcode}.tar.gz.gpg")
        target = work / f"{book.barcode}.tar.gz"
        options = Options.model_validate(self.options)
        outcome = self._decrypt(archive, target, options)
        if outcome.without_integrity and not options.require_mdc:
            # Only now: with this gpg lets an archive pass whose integrity packet is there and does not match, too.
            outcome = self._decrypt(archive, target, options, "--ignore-mdc-error")
            accepted = outcome.whole
        else:
            accepted = outcome.whole and outcome.intact
        if not accepted or not target.exists():
            target.unlink(missing_ok=True)
            if outcome.disk_error:
                raise OSError(outcome.disk_error, os.strerror(outcome.disk_error), str(target))
            if outcome.killed_by:
                raise _killed(outcome.killed_by)
            raise self._verdict(outcome, options, book)
        Decryptor._opened_at = now()
        durable.fsync_path(target)
        return {"bytes_in": archive.stat().st_size, "bytes_out": target.stat().st_size, "integrity": outcome.intact}

    def close(self) -> None:
        """Remove gpg's home."""
        if self._gpg:
            self._gpg.close()

    def _decrypt(self, archive: Path, target: Path, options: Options, *more: str) -> Outcome:
        if self._gpg is None:
            self._gpg = Gpg(self.settings.global_.temp_dir)
        return self._gpg.decrypt(
            archive,
            target,
            self._passphrase(),
            *more,
            max_bytes=options.max_bytes,
            max_seconds=options.max_seconds,
        )

    def _passphrase(self) -> str:
        cure = "The decryptor goes on as soon as the passphrase can be read."
        try:
            passphrase = self.settings.global_.passphrase()
        except ConfigError as error:
            raise Halt(error.problems[0], cure) from None
        if set(passphrase) & set("\r\n\0"):
            raise Halt("The passphrase has more than one line: its file may hold one line and nothing else.", cure)
        return passphrase

    def _verdict(self, outcome: Outcome, options: Options, book: Book) -> Halt | Redo | Reject:
        if outcome.wrong_passphrase and not self._only_this_one(book):
            return Halt(
                "The passphrase does not open this library's archives.",
                "Put the right one into the file that gpg_passphrase_file names; the decryptor goes on by itself.",
            )
        return _reject(outcome, options) or Redo(
            f"The encrypted archive is damaged: {_damage(outcome)}.",
            "Ask Google to convert the book anew, then `grin-pipeline retry` it.",
        )

    def _only_this_one(self, book: Book) -> bool:
        """This book halted the stage before, and another one could be opened since: then it is the book that is bad.

        A damaged session-key packet cannot be told from a wrong passphrase, and must not stop the line for ever.
        """
        halted = last(book.events, "halted", stage=self.row.name)
        return halted is not None and str(halted["time"]) < self._opened_at


def _killed(number: int) -> Retry:
    """Says nothing about the book: the kernel does that where memory is short."""
    return Retry(
        f"gpg was killed by signal {number} in the middle of the archive.",
        "If memory was short, give it more: memory_limit, or a container's mem_limit. Then retry the book.",
    )


def _reject(outcome: Outcome, options: Options) -> Reject | None:
    """What no other copy of the archive would change."""
    if outcome.without_integrity:
        return Reject(
            "The archive carries no integrity packet, so nobody can tell whether it is whole.",
            "If it is known to be old, set the decryptor's option require_mdc: false, and put its token back.",
        )
    if outcome.for_a_key:
        return Reject(
            "The archive is encrypted for somebody's key, and not with a passphrase.",
            "Ask Google to convert the book anew, then `grin-pipeline retry` it.",
        )
    if outcome.too_large:
        return Reject(
            f"The archive decrypts to more than {options.max_bytes:,} bytes.",
            "If the book is really that large, raise the decryptor's option max_bytes, and put its token back.",
        )
    if outcome.late:
        return Reject(
            f"Decrypting the archive took longer than {options.max_seconds:g} s.",
            "If the book is really that large, raise the decryptor's option max_seconds, and put its token back.",
        )
    return None


def _damage(outcome: Outcome) -> str:
    """What is wrong with the archive, in a few words."""
    if outcome.wrong_passphrase:
        return "the passphrase opens others, but not this one"
    if "NODATA" in outcome.status:
        return "it holds no encrypted data at all"
    if "PLAINTEXT" in outcome.status and "BEGIN_DECRYPTION" not in outcome.status:
        return "it is not encrypted"
    if "BADMDC" in outcome.status:
        return "it is cut short, or was changed after it was encrypted"
    if outcome.whole and "PLAINTEXT" not in outcome.status:
        return "there is no file in it"
    last = outcome.said.strip().split("\n")[-1:] or ["gpg did not say why"]
    # Pieces of the archive may stand in gpg's messages.
    words = "".join(letter if letter.isprintable() else "?" for letter in last[0].removeprefix("gpg: ")[:120])
    return f"gpg stopped in the middle of it ({words})"
