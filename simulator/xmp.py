"""The XMP packet that Google puts into each image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_HEAD = """<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x='adobe:ns:meta/'>
<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>
<rdf:Description rdf:about='' xmlns:tiff='http://ns.adobe.com/tiff/1.0/'>
"""
_TAIL = """</rdf:Description>
<rdf:Description rdf:about='' xmlns:dc='http://purl.org/dc/elements/1.1/'>
<dc:source>{source}</dc:source>
</rdf:Description>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end='w'?>"""


@dataclass(frozen=True)
class Capture:
    """How a page was taken: `source` is `<DIR>_<BARCODE>/<file>`, `date` the day as YYYY-MM-DD."""

    source: str
    date: str
    model: str = "Photostation v1"


def xmp_packet(capture: Capture, fields: Mapping[str, object]) -> bytes:
    """The packet with the image's own TIFF fields first, then those that all images share."""
    shared = {
        "DateTime": f"{capture.date}T00:00:00+08:00",
        "Artist": "Google, Inc.",
        "Make": "Google",
        "Model": capture.model,
    }
    body = "".join(f"<tiff:{name}>{value}</tiff:{name}>\n" for name, value in {**fields, **shared}.items())
    return (_HEAD + body + _TAIL.format(source=capture.source)).encode()
