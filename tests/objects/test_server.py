"""The S3 server of the tests does what the tests of uploads rely on."""

from __future__ import annotations

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from tests.objects.server import Server


def test_an_object_is_made_once_where_that_is_asked_for(s3_server: Server) -> None:
    """A conditional put is refused where the object exists, and leaves it as it was."""
    store = s3_server.store("once")
    obstore.put(store, "a", b"first", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "a", b"second", mode="create")
    assert bytes(obstore.get(store, "a").bytes()) == b"first"


def test_other_keys_are_refused(s3_server: Server) -> None:
    """Nobody writes with keys that are not the server's."""
    options = {"allow_http": True}
    known = {"endpoint": s3_server.endpoint, "region": s3_server.region, "client_options": options}
    stranger = S3Store(s3_server.bucket, access_key_id="somebody", secret_access_key="else", **known)
    with pytest.raises(BaseError, match="InvalidAccessKeyId"):
        obstore.put(stranger, "a", b"x")
