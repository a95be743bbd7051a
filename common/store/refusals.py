"""What an object store says when it does not do what was asked, in words for an operator.

The library's own messages are never passed on: a URL in them may hold a signature.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError, InvalidPathError, PermissionDeniedError, UnauthenticatedError

from common.errors import Halt, Reject, Retry, StageError
from common.store.bucket import RENAME
from common.store.urls import split

# Where the library asks for credentials that nobody gave it: this machine's own, if it is one of a cloud's.
_ASKED = ("169.254.", "metadata.google.internal", "Error performing token request")
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
# This book's fault, whatever the others are like.
_OF_THE_BOOK = {"KeyTooLong", "KeyTooLongError", "EntityTooLarge"}
# Never what may stand before the host: a name and a password.
_HOST = re.compile(r"https?://(?:[^/\s@]*@)?([A-Za-z0-9.-]{1,200})(?=/|\s|:\d{1,5}[/\s])")
_CAUSES = {
    "dns error": "its host's name is not known",
    "Connection refused": "its host refuses the connection",
    "InvalidCertificate": "its certificate is not trusted",
    "TimedOut": "it did not answer in time",
    "operation timed out": "it did not answer in time",
}
_VARIABLES = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE)",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
_ARCHIVE = "Take another storage class, or set `read_back: false` for the uploader."
_BY_ITSELF = "The stage goes on by itself."
_REACH = f"See that it runs, and that the endpoint's variable and the network are right. {_BY_ITSELF}"
_TRUST = "Name the authority that signed it in AWS_CA_BUNDLE, and start the stage again."
_KEYS = "See that the credentials are right, and may list, read and write there. Then start the stage again."
_MAKE = f"Make the bucket, or correct `done_bucket`. {_BY_ITSELF}"
# A key of somebody else's, such as a//b, which the library cannot take for a path.
_ODD = re.compile(r'Path "([^"]{1,200})')
_APART = f"Remove or rename it, or give the done bucket a prefix of its own. {_BY_ITSELF}"
_LATER = f"See what the store's own logs say. {_BY_ITSELF}"
_OPTIONS = {
    "InvalidStorageClass": f"Correct `storage_class`, an option of the uploader. {_BY_ITSELF}",
    "MetadataTooLarge": f"Shorten `metadata`, an option of the uploader. {_BY_ITSELF}",
}
_ODD_VALUE = "Look for blanks and odd characters in the variables for it, then start the stage again."
# What Amazon and Google take, in bytes.
_LONGEST_KEY = 1024
_NO_PATH = re.compile(r"[\x00-\x1f\x7f]|(^|/)\.{0,2}(/|$)")


class Archived(Halt):
    """An object is there, and cannot be read until somebody has it restored."""


def require_fit(bucket: str, key: str) -> None:
    """Reject a book with a file that no store, or not this library, takes under its name."""
    prefix = split(bucket)[2]
    length = len(f"{prefix}/{key}".encode(errors="replace"))
    if length > _LONGEST_KEY or _NO_PATH.search(key):
        why = f"is longer than {_LONGEST_KEY} bytes" if length > _LONGEST_KEY else "is no path"
        raise Reject(f"A file of the book cannot be put into {bucket}: its key {why}: {key[:200]!a}.", RENAME)


@contextmanager
def panicking(bucket: str) -> Iterator[None]:
    """Turn a crash inside the library, which is no Exception, into a Halt: another book would fare no better."""
    try:
        yield
    except BaseException as error:
        # Its class can be imported from nowhere.
        if type(error).__name__ != "PanicException":
            raise
        raise Halt(f"The library that reaches the done bucket {bucket} has crashed.", _ODD_VALUE) from None


@contextmanager
def reading(bucket: str) -> Iterator[None]:
    """Turn the library's errors into verdicts; an object that is not there ends the block."""
    try:
        with panicking(bucket):
            yield
    except FileNotFoundError as error:
        if any(word in str(error) for word in _MISSING):
            raise verdict(bucket, error) from None
    except BaseError as error:
        raise verdict(bucket, error) from None


@contextmanager
def putting(bucket: str) -> Iterator[None]:
    """The same where nothing can be missing but the bucket."""
    try:
        with panicking(bucket):
            yield
    except (FileNotFoundError, BaseError) as error:
        raise verdict(bucket, error) from None


def verdict(bucket: str, error: Exception) -> StageError:
    """What an error of the library means for the stage."""
    text = str(error)
    status, code = _first(_STATUS, text), _first(_CODE, text)
    named = f"The done bucket {bucket}"
    refused = isinstance(error, PermissionDeniedError | UnauthenticatedError) or status in {"401", "403"}
    if code in _ON_THE_WAY:
        return Retry(f"An object did not get to the done bucket {bucket} as it was sent ({code}).")
    if code in _OF_THE_BOOK:
        return Reject(f"{named} takes no such file of the book ({code}).", RENAME)
    if code in _ARCHIVED:
        return Archived(f"{named} has archived an object, which cannot be read ({code}).", _ARCHIVE)
    if any(word in text for word in _ASKED):
        reason, cure = f"No credentials for the done bucket {bucket} were found.", credentials(bucket)
    elif isinstance(error, InvalidPathError):
        reason, cure = f"{named} has an object whose key is no path: {_first(_ODD, text)}.", _APART
    elif status == "404" or any(word in text for word in _MISSING):
        reason, cure = f"There is no done bucket {bucket}.", _MAKE
    elif refused:
        reason, cure = f"{named} refuses us ({code or status or 'no credentials'}).", _KEYS
    elif status:
        reason, cure = f"{named} answers {status}{f' ({code})' if code else ''}.", _OPTIONS.get(code, _LATER)
    else:
        cause = next((words for word, words in _CAUSES.items() if word in text), "it does not answer")
        host = _first(_HOST, text)
        where = f" at {host}" if host else ""
        reason, cure = f"{named} cannot be reached{where}: {cause}.", _TRUST if "certificate" in cause else _REACH
    return Halt(reason, cure)


def credentials(bucket: str) -> str:
    """Which variables are wanted, as a cure."""
    return f"Set {_VARIABLES[split(bucket)[0]]} where the stage runs, and start it again."


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""
