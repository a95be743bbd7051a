"""What an object store says when it does not do what was asked, in words for an operator.

The library's own messages are never passed on: a URL in them may hold a signature.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError

from common.errors import Halt, Retry, StageError

_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_MISSING = ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist")
# The bytes came otherwise than they were sent: nobody's fault, and once more will do.
_ON_THE_WAY = {
    "BadDigest",
    "IncompleteBody",
    "XAmzContentSHA256Mismatch",
    "XAmzContentChecksumMismatch",
    "NoSuchUpload",
}
_ARCHIVED = {"InvalidObjectState", "BlobArchived"}
_CAUSES = {
    "dns error": "its host's name is not known",
    "Connection refused": "its host refuses the connection",
    "certificate": "its certificate is not trusted",
    "TimedOut": "it did not answer in time",
    "operation timed out": "it did not answer in time",
}
_ARCHIVE = "Take another storage class, or set `read_back: false` for the uploader."
_BY_ITSELF = "The stage goes on by itself."
_REACH = f"See that it runs, and that the endpoint's variable and the network are right. {_BY_ITSELF}"
_KEYS = "See that the credentials are right, and may list, read and write there. Then start the stage again."
_MAKE = f"Make the bucket, or correct `done_bucket`. {_BY_ITSELF}"
_LATER = f"See what the store's own logs say. {_BY_ITSELF}"


@contextmanager
def reading(bucket: str) -> Iterator[None]:
    """Turn the library's errors into verdicts; an object that is not there ends the block."""
    try:
        yield
    except FileNotFoundError as error:
        if any(word in str(error) for word in _MISSING):
            raise missing(bucket) from None
    except BaseError as error:
        raise verdict(bucket, error) from None


@contextmanager
def putting(bucket: str) -> Iterator[None]:
    """The same where nothing can be missing but the bucket; AlreadyExistsError and NotImplementedError go up."""
    try:
        yield
    except AlreadyExistsError:
        raise
    except (FileNotFoundError, BaseError) as error:
        raise verdict(bucket, error) from None


def missing(bucket: str) -> Halt:
    """The bucket itself is not there."""
    return Halt(f"There is no done bucket {bucket}.", _MAKE)


def verdict(bucket: str, error: Exception) -> StageError:
    """What an error of the library means for the stage."""
    text = str(error)
    status, code = _first(_STATUS, text), _first(_CODE, text)
    if code in _ON_THE_WAY:
        return Retry(f"An object did not get to the done bucket {bucket} as it was sent ({code}).")
    if any(word in text for word in _MISSING) or status == "404":
        return missing(bucket)
    if code in _ARCHIVED:
        return Halt(f"An object in the done bucket {bucket} is archived and cannot be read ({code}).", _ARCHIVE)
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or status in {"401", "403"}:
        return Halt(f"The done bucket {bucket} refuses us ({code or status or 'no credentials'}).", _KEYS)
    if status:
        return Halt(f"The done bucket {bucket} answers {status}{f' ({code})' if code else ''}.", _LATER)
    cause = next((words for word, words in _CAUSES.items() if word in text), "it does not answer")
    return Halt(f"The done bucket {bucket} cannot be reached: {cause}.", _REACH)


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""
