"""The token: its grammar, what is read, what is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import token
from common.token import NewerToken, TokenError

GOOD = ["32101081977728", "HV1ABC", "C3263821", "$B123", "W1PD159424-I3PD77", "a.b_c", "x" * 64]
BAD = ["", ".hidden", "..", "a/b", "a~b", "a b", "é", "x" * 65, "a\n", "a\0"]


@pytest.mark.parametrize("barcode", GOOD)
def test_barcodes_of_all_libraries(barcode: str) -> None:
    """Every style of barcode that libraries use is accepted."""
    assert token.check_barcode(barcode) == barcode


@pytest.mark.parametrize("barcode", BAD)
def test_no_barcode(barcode: str) -> None:
    """Whatever could be a path, a claim or invisible is refused with the rule."""
    with pytest.raises(TokenError, match="1 to 64"):
        token.check_barcode(barcode)


def test_round_trip() -> None:
    """A new token is read as it was written."""
    read = token.parse(token.encode("A1", "/p", "/d"), "A1")
    assert (read.barcode, read.processing_bucket, read.done_bucket) == ("A1", "/p", "/d")


def test_storage_bucket_is_done_bucket() -> None:
    """The older name of the done bucket is read."""
    assert token.parse(b'{"barcode": "A1", "storage_bucket": "/s"}', "A1").done_bucket == "/s"


def test_unknown_members_are_kept() -> None:
    """Members of somebody else's stay readable."""
    assert token.parse(b'{"barcode": "A1", "priority": 5}', "A1").members["priority"] == 5


def test_newer_version_is_told_apart() -> None:
    """A token of a future release is no garbage."""
    with pytest.raises(NewerToken, match="version 2"):
        token.parse(b'{"barcode": "A1", "version": 2}', "A1")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not valid JSON"),
        (b'{"barcode": "A', "not valid JSON"),
        (b"\0\0\0", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 60_000, "not valid JSON"),
        (b"[]", "^The token is not a JSON object"),
        (b'{"barcode": "B2"}', "named after A1"),
        (b'{"barcode": "A1", "done_bucket": 7}', "not a printable text"),
        (b'{"barcode": "A1", "processing_bucket": "/x\\ud800"}', "not a printable text"),
        (b'{"barcode": "A1", "processing_bucket": "/x\\u0000"}', "not a printable text"),
        (b'{"barcode": "A1", "x": "' + b"y" * 70_000 + b'"}', "larger than"),
    ],
)
def test_refused_with_a_reason(data: bytes, says: str) -> None:
    """Each kind of damage has its own sentence."""
    with pytest.raises(TokenError, match=says):
        token.parse(data, "A1")


def test_a_refusal_shows_what_was_found() -> None:
    """A refusal quotes what it refuses, in ASCII, and no more of it than fits on a line."""
    with pytest.raises(TokenError, match=r"^'caf\\xe9' is no barcode"):
        token.check_barcode("café")
    with pytest.raises(TokenError, match=r"^'/{80}' is no barcode"):
        token.check_barcode("/" * 1000)
    with pytest.raises(TokenError, match="the barcode inside is 'B2'"):
        token.parse(b'{"barcode": "B2"}', "A1")
    with pytest.raises(TokenError, match=r"the barcode inside is 'B{79}\.$"):
        token.parse(b'{"barcode": "' + b"B" * 1000 + b'"}', "A1")
    with pytest.raises(NewerToken, match=r"of version 2{40}, this"):
        token.parse(b'{"barcode": "A1", "version": ' + b"2" * 1000 + b"}", "A1")
    for version in ('"2"', "0", "true", "null", "[2]"):
        with pytest.raises(TokenError, match="which there has never been"):
            token.parse(f'{{"barcode": "A1", "version": {version}}}'.encode(), "A1")
    with pytest.raises(TokenError, match=r"Expecting value: line 1 column 13 \(char 12\)"):
        token.parse(b'{"barcode": }', "A1")


def test_a_token_without_folders() -> None:
    """A token that names no folders leaves them to the configuration."""
    read = token.parse(b'{"barcode": "A1"}', "A1")
    assert (read.processing_bucket, read.done_bucket) == ("", "")


def test_the_largest_token() -> None:
    """A token of exactly the most bytes is read, one of a byte more is refused."""
    largest = b'{"barcode": "A1"}'.ljust(token.MAX_BYTES)
    assert token.parse(largest, "A1").barcode == "A1"
    with pytest.raises(TokenError, match="larger than"):
        token.parse(largest + b" ", "A1")


ANY_JSON = st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps).map(str.encode)


@given(st.binary(max_size=300) | ANY_JSON)
def test_anything_else_is_a_token_error(data: bytes) -> None:
    """No bytes whatever make the parser raise anything but TokenError."""
    with pytest.raises(TokenError):
        token.parse(data, "A1")


@given(st.text(max_size=70))
def test_file_names(name: str) -> None:
    """A name is a token's exactly when it is a barcode and .json."""
    found = token.barcode_of(name + ".json")
    assert (found == name) if token.is_barcode(name) else (found is None)
