"""hOCR pages in the dialect of Google's converter."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from simulator.layout import Block, Box, Line, Word

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.1//EN" "http://www.w3.org/TR/xhtml11/DTD/xhtml11.dtd">
<html xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:schemaLocation="http://www.w3.org/1999/xhtml http://www.w3.org/MarkUp/SCHEMA/xhtml11.xsd"
 xmlns="http://www.w3.org/1999/xhtml">
<head>
<title>{name}</title>
<meta http-equiv='content-type' content='text/html; charset=utf-8'/>
<meta http-equiv='content-style-type' content='text/css' />
<meta name='ocr-capabilities' content='ocr_page ocr_par ocr_block ocrx_block ocrx_word ocrp_lang ocr_line' />
<meta name='ocr-system' content='gocr ' />
<meta name='ocr-number-of-pages' content='1' />
<meta name='ocr-langs' content='{language}' />
</head>
<body title="x_wconf {confidence}">
<div class='ocr_page' title='bbox 0 0 {width} {height};x_wconf {confidence};ppageno {number};\
x_source {owner};ocrp_lang {language}'>
"""
_TAIL = "</div></body>\n</html>\n"
_STYLE = 'font-size:0pt;font-family:"Times";font-style:normal'


def hocr_page(
    blocks: list[Block], trim: tuple[int, int], *, name: str, number: int, owner: str, language: str, entity: bool
) -> bytes:
    """One page as XHTML; with `entity` the first long word gets a `&shy;`, which plain XML parsers do not know."""
    confidence = _confidence(word for block in blocks for line in block.lines for word in line.words)
    head = _HEAD.format(
        name=name,
        language=language,
        confidence=confidence,
        width=trim[0],
        height=trim[1],
        number=number,
        owner=owner,
    )
    body = "".join(_block(block) for block in blocks)
    return (head + (_with_entity(body) if entity else body) + _TAIL).encode()


def _block(block: Block) -> str:
    words = [word for line in block.lines for word in line.words]
    title = f"{_bbox(word.box for word in words)};x_wconf {_confidence(words)}"
    lines = "".join(_line(line) for line in block.lines)
    paragraph = f"<p class='ocr_par' title='{title}' style='{_STYLE}'>{lines}</p>"
    return f"<div class='ocrx_block' title='{title}'>\n{paragraph}\n\n</div>\n"


def _line(line: Line) -> str:
    title = f"{_bbox(word.box for word in line.words)};x_wconf {_confidence(line.words)}"
    words = "".join(_word(word) for word in line.words)
    return f"<span class='ocr_line' title='{title}'>{words}</span>"


def _word(word: Word) -> str:
    title = f"{_bbox([word.box])};x_wconf {word.confidence}"
    return f"<span class='ocrx_word' title='{title}'>{escape(word.text, quote=True)}</span>{' ' * word.space}"


def _bbox(boxes: Iterable[Box]) -> str:
    left, top, right, bottom = zip(*boxes, strict=True)
    return f"bbox {min(left)} {min(top)} {max(right)} {max(bottom)}"


def _confidence(words: Iterable[Word]) -> int:
    found = [word.confidence for word in words]
    return sum(found) // len(found) if found else 0


def _with_entity(body: str) -> str:
    return body.replace("</span>", "&shy;</span>", 1)
