"""GRIN's lists as HTML pages: read by their headers, followed by their own next links."""

from __future__ import annotations


def is_page(content_type: str, first: bytes) -> bool:
    """Whether an answer of this type that begins so is HTML, and no list in text."""
    return "html" in content_type.lower() or first.lstrip().startswith(b"<")
