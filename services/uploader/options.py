"""The uploader's options: where in the done bucket a file goes, and how it is put into an object store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from common.options import complaints
from common.settings import Section, Size
from common.store import Puts
from common.store.labels import check_labels
from common.store_keys import DEFAULT, check_template

# Objects of these classes cannot be read until somebody has them restored; Google's can.
_ARCHIVED = {"s3": {"GLACIER", "DEEP_ARCHIVE"}, "az": {"ARCHIVE"}}
_SMALLEST, _LARGEST = 5 * 2**20, 2**30


def _part(size: int) -> int:
    if not _SMALLEST <= size <= _LARGEST:
        raise ValueError("should be between 5MiB and 1GiB, as the stores have it")
    return size


class Options(Section):
    """All but `key` and `read_back` have a meaning for object stores only."""

    key: Annotated[str, AfterValidator(check_template)] = DEFAULT
    """May use {barcode}, {name}, {library} and {version}."""
    metadata: Annotated[dict[str, str], AfterValidator(check_labels)] = Field(default_factory=dict)
    storage_class: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z_]{0,39}$")] | None = None
    part_size: Annotated[Size, AfterValidator(_part)] = Puts.part_size
    concurrency: Annotated[int, Field(ge=1, le=64)] = Puts.concurrency
    read_back: bool = Puts.read_back

    @property
    def puts(self) -> Puts:
        """The same as the store wants it."""
        return Puts(self.part_size, self.concurrency, self.storage_class, self.metadata, self.read_back)


def wrong(options: Mapping[str, Any], bucket: str) -> list[str]:
    """A sentence for each option that cannot be, or not for that done bucket."""
    if problems := complaints(Options, options):
        return problems
    chosen = Options.model_validate(options)
    if chosen.read_back and (chosen.storage_class or "").upper() in _ARCHIVED.get(
        bucket.partition("://")[0].lower(), ()
    ):
        return [f"Objects of the storage_class {chosen.storage_class} cannot be read back. Set read_back: false."]
    return []
