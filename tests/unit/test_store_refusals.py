"""What an object store's errors mean for the stage: those that no server of the tests can be made to say."""

from __future__ import annotations

import pytest
from obstore.exceptions import BaseError, GenericError, PermissionDeniedError

from common.errors import Halt, Reject, Retry
from common.store.refusals import reading, verdict

_STATUS = "Server returned non-2xx status code: {}: <Error><Code>{}</Code></Error>"


@pytest.mark.parametrize(
    ("error", "reason", "cure"),
    [
        (PermissionDeniedError(_STATUS.format(403, "InvalidObjectState")), "archived", "read_back: false"),
        (GenericError(_STATUS.format(400, "InvalidStorageClass")), "(InvalidStorageClass)", "`storage_class`"),
        (GenericError(_STATUS.format(400, "MetadataTooLarge")), "answers 400 (MetadataTooLarge)", "`metadata`"),
        (GenericError(_STATUS.format(400, "Whatever")), "answers 400 (Whatever)", "logs"),
        (GenericError(_STATUS.format(503, "SlowDown")), "answers 503 (SlowDown)", "goes on by itself"),
        (GenericError(_STATUS.format(404, "ContainerNotFound")), "There is no done bucket", "Make the bucket"),
        (GenericError("PUT http://169.254.169.254/latest/api/token in 1s"), "No credentials", "AWS_ACCESS_KEY_ID"),
        (GenericError("error sending request: InvalidCertificate(UnknownIssuer)"), "certificate", "AWS_CA_BUNDLE"),
        (
            GenericError("GET https://me:canary@s3.x.org:1/b?c=canary in 1s: dns error"),
            "at s3.x.org: its host's",
            "right",
        ),
        (GenericError("of a kind that nobody knows ?sig=canary"), "cannot be reached", "goes on by itself"),
    ],
)
def test_an_error_holds_the_stage_with_a_cure(error: BaseError, reason: str, cure: str) -> None:
    """In our own words: what the library says may hold a signature."""
    held = verdict("s3://books", error)
    assert isinstance(held, Halt)
    assert reason in held.reason
    assert cure in held.cure
    assert "canary" not in f"{held.reason} {held.cure}"


@pytest.mark.parametrize("code", ["BadDigest", "IncompleteBody", "NoSuchUpload", "XAmzContentSHA256Mismatch"])
def test_what_went_wrong_on_the_way_is_sent_again(code: str) -> None:
    """The bytes, or an upload that a lifecycle rule took away: this book only."""
    assert isinstance(verdict("s3://books", GenericError(_STATUS.format(400, code))), Retry)


@pytest.mark.parametrize("code", ["KeyTooLongError", "EntityTooLarge"])
def test_what_a_store_takes_of_no_book_like_this_fails_the_book(code: str) -> None:
    """One book must not hold all others."""
    failed = verdict("s3://books", GenericError(_STATUS.format(400, code)))
    assert isinstance(failed, Reject)
    assert code in failed.reason and "`rename`" in failed.cure


class PanicException(BaseException):
    """Named as what the library raises when its own code crashes; that class can be imported from nowhere."""


def test_a_crash_of_the_library_holds_the_stage() -> None:
    """It is no Exception, so nothing else would catch it; what is none of the library's passes."""
    with pytest.raises(Halt, match="has crashed") as halted, reading("s3://books"):
        raise PanicException("canary")
    assert "canary" not in halted.value.reason and halted.value.cure
    with pytest.raises(KeyboardInterrupt), reading("s3://books"):
        raise KeyboardInterrupt
