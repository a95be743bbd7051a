"""MARC records as XML, as they stand in a METS."""

from __future__ import annotations

from html import escape

from simulator.works import Work

_LEADER = "00000nam a2200000 a 4500"


def marc_record(barcode: str, work: Work, year: int, prefix: str) -> str:
    """A small bibliographic record; `prefix` is `marc:` or nothing for the default namespace."""
    dates = f"750101s{year}    xx            000 0 {work.language.marc} d"
    lines = [
        f"<{prefix}record>",
        f"<{prefix}leader>{_LEADER}</{prefix}leader>",
        _control(prefix, "001", f"99{int.from_bytes(barcode.encode()[-4:], 'big'):010d}"),
        _control(prefix, "008", dates),
        _field(prefix, "010", "  ", {"a": f"   {year % 100:02d}0{len(work.title):05d} "}),
        _field(prefix, "035", "  ", {"a": f"(OCoLC)ocm{int.from_bytes(barcode.encode()[-3:], 'big'):08d}"}),
        _field(prefix, "050", "00", {"a": "PZ3", "b": f".T{len(work.author)}"}),
        _field(prefix, "100", "1 ", {"a": work.author}),
        _field(prefix, "245", "10", {"a": f"{work.title} /", "c": f"{work.author}."}),
        _field(prefix, "260", "  ", {"a": f"{work.place} :", "b": "At the Sign of the Lantern,", "c": f"{year}."}),
        _field(prefix, "650", " 0", {"a": "Rivers", "v": "Fiction."}),
        _field(prefix, "955", "  ", {"b": barcode}),
        f"</{prefix}record>",
    ]
    return "\n".join(lines)


def _control(prefix: str, tag: str, value: str) -> str:
    return f'<{prefix}controlfield tag="{tag}">{escape(value)}</{prefix}controlfield>'


def _field(prefix: str, tag: str, indicators: str, parts: dict[str, str]) -> str:
    close = f"</{prefix}subfield>"
    inside = "".join(f'<{prefix}subfield code="{code}">{escape(text)}{close}' for code, text in parts.items())
    ends = f'ind1="{indicators[0]}" ind2="{indicators[1]}"'
    return f'<{prefix}datafield tag="{tag}" {ends}>{inside}</{prefix}datafield>'
