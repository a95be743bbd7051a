"""What a modification gives back, which may be anybody's: judged before it goes to the ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from common.errors import Reject

# What the modifier itself tells, and what others tell of the archive: the uploader and the report rely on these.
_TAKEN = (
    "package",
    "sidecars",
    "tree",
    "members",
    "bytes_in",
    "bytes_out",
    "files",
    "done_bucket",
    "provenance",
    "etag",
    "sha256",
    "fixity",
)
# Bytes as JSON: the record with each of its fields at its longest has half of that.
_MOST = 200_000


def judged(name: str, given: object) -> dict[str, Any]:
    """The facts of the modification of that name, as the ledger will have them; Reject when they are none."""
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
        _refuse(name, f"gave back {given!r:.100}, and not a mapping from names to facts")
    if taken := [key for key in _TAKEN if key in given]:
        _refuse(name, f"gave back a fact called {' and one called '.join(taken)}, which is not its to tell")
    warnings = given.get("warnings", ())
    if not isinstance(warnings, list | tuple) or not all(isinstance(one, str) for one in warnings):
        _refuse(name, f"gave back {warnings!r:.100} as warnings, and not a list of sentences")
    try:
        text = json.dumps(dict(given), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        _refuse(name, f"gave back facts that JSON cannot hold ({error})")
    if len(text) > _MOST:
        _refuse(name, f"gave back {len(text):,} bytes of facts; {_MOST:,} are the most")
    return dict(json.loads(text))


def _refuse(name: str, what: str) -> NoReturn:
    cure = "Mend the modification, or take it out of the chain; then put the book's token back."
    raise Reject(f"The modification {name} {what}.", cure)
