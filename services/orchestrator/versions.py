"""Brings a delivered book again: one line in its ledger, then one rename from the last bucket to the first.

The uploader puts what comes beside what is held, never over it. Safe while everything runs, and for many at once: of
two who move a token one succeeds; whoever is killed after the line has moved nothing, and the next call completes it.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from common import board, durable, workfiles
from common.config import Settings
from common.deliveries import deliveries
from common.errors import Lost
from common.ledger import Event
from common.token import TokenError, parse
from services.orchestrator.sightings import Sight, Sightings, Stamp

# GRIN tells no zone: a conversion is newer than a download only if it is later by more than a day.
MARGIN = timedelta(days=1)


def fetched(events: Sequence[Event], downloaders: Collection[str]) -> datetime | None:
    """When the held version was downloaded; None when the ledger does not say, or it was not delivered."""
    delivered = deliveries(events)
    for event in reversed(events[: delivered[-1].index] if delivered else []):
        adopted = "adopted" in (event.get("facts") or {})
        if event["event"] == "done" and event.get("stage") in downloaders and "late" not in event and not adopted:
            return _when(event.get("time"))
    return None


def is_newer(converted: datetime, held: datetime | None) -> bool:
    """Whether GRIN's date is of a later conversion than the version that was downloaded at `held`.

    A date beyond tomorrow is some clock's mistake: it would be newer than every download, for ever.
    """
    date = converted.replace(tzinfo=UTC)
    return held is not None and held + MARGIN < date <= datetime.now(UTC) + MARGIN


def _when(told: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(told))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def bring(settings: Settings, barcode: str, why: str, by: str) -> bool:
    """Fetch a delivered book once more, as a new version beside the old; False when it is not in the last bucket.

    OSError when its ledger cannot be written or its token cannot be moved.
    """
    sightings = Sightings(settings)
    home = sightings.home(barcode)
    return home is not None and send_again(sightings, barcode, home, "renewed", by=by, why=why)


def send_again(
    sightings: Sightings, barcode: str, home: Sight, event: str, *, by: str, why: str, stamp: Stamp | None = None
) -> bool:
    """Announce `event`, then move the token that was seen at home to the first bucket; False when it has moved on.

    With a stamp, only if the ledger is still as it was then.
    """
    if stamp is not None and sightings.stamp(barcode) != stamp:
        return False
    target = board.path_of(sightings.head_of(barcode, home.bucket).input_pipe, barcode, board.WAITING)
    # What a killed uploader has left of the book would be taken for what is to be made again.
    clear(sightings.settings, barcode, home.path)
    mark = secrets.token_hex(6)
    given = {"by": by, "why": why, "bucket": home.bucket.name, "from": "done", "id": mark}
    sightings.ledger.append(barcode, event, **given)
    try:
        board.relocate(barcode, home.path, home.inode, target)
    except (Lost, board.OccupiedError) as error:
        with suppress(OSError):
            sightings.ledger.append(barcode, "unchanged", by=by, command=event, reason=str(error), id=mark)
        return False
    durable.fsync_dir(target.parent)
    durable.fsync_dir(home.path.parent)
    return True


def clear(settings: Settings, barcode: str, token: Path) -> None:
    """Remove the working files of a book whose token lies where none of its files is needed."""
    try:
        named = parse(board.read_file(token, barcode), barcode).processing_bucket
    except FileNotFoundError:
        return
    except TokenError:
        named = ""
    folder = settings.base / (named or settings.global_.processing_bucket) / barcode
    # A token that somebody wrote by hand may name any folder: only what a stage has made is removed.
    if workfiles.published(folder).keys() <= {row.name for row in settings.filters}:
        workfiles.remove_book(folder)
