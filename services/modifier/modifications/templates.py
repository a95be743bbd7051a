"""Templates that operators write for names and addresses: `{barcode}_{page:08d}{ext}`."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence


def checked(template: str, samples: Sequence[Mapping[str, object]]) -> str:
    """The template itself; ValueError when it is none for such values, or says the same of two of the samples."""
    known = ", ".join(f"{{{field}}}" for field in samples[0])
    try:
        used = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
        filled = [template.format(**sample) for sample in samples]
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        raise ValueError(f"should be a template of {known} ({error})") from None
    if unknown := [field for field in used if field not in samples[0]]:
        raise ValueError(f"should be a template of {known}, and not of {{{unknown[0]}}}")
    if len(set(filled)) < len(filled):
        raise ValueError(f"should tell all files apart, and gives {filled[0]!r} to several; there are {known}")
    return template
