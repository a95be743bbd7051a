"""The real uploader, which waits a tenth as long for a store that does not answer: nobody's test need take so long."""

from __future__ import annotations

from datetime import timedelta

from common.config import FilterRow, Settings
from common.store import connect
from services.uploader import stage

IMPATIENT = {**connect._RETRY, "retry_timeout": timedelta(seconds=3)}
CLIENT = {**connect._CLIENT, "read_timeout": timedelta(seconds=6)}


class Uploader(stage.Uploader):
    """Nothing else about it is another."""

    def __init__(self, settings: Settings, row: FilterRow) -> None:
        connect._RETRY, connect._CLIENT = IMPATIENT, CLIENT
        super().__init__(settings, row)
