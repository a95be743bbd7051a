"""The keys under which a book's files lie in the store: from a template, and from a key back to its book.

A book's first version lies under the template's own keys. Version 2 and later ones have a folder of their own, `v2` …:
where the template says `{version}`, else right before the name.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass

from common.token import BARCODE

PROVENANCE = "provenance.json"
# The package of a book that lies in the store as loose files; it names them, as `sha256sum -c` reads them.
MANIFEST = "manifest-sha256.txt"
DEFAULT = "{barcode}/{name}"
_FIELDS = ("barcode", "name", "library", "version")
_NAME = re.compile(r"\{name(![a-z])?\}")
_FOLDER = "{version}"
_LINE = re.compile(r"([0-9a-f]{64})  ([^\\\n]+)")
# What can follow a barcode in a key and be none of its characters.
_ENDS_BARCODE = re.compile(r"[^A-Za-z0-9._$-]")


def check_template(template: str) -> str:
    """The template itself; ValueError says what is wrong with it."""
    try:
        used = [(field, spec) for _, field, spec, _ in string.Formatter().parse(template) if field is not None]
        parts = [part for version in (1, 2) for part in fill(template, "b", "n", "l", version).split("/")]
    except (ValueError, LookupError, AttributeError) as error:
        raise ValueError(f"should be a template such as {{barcode}}/{{name}} ({error})") from None
    if unknown := [field for field, _ in used if field not in _FIELDS]:
        raise ValueError(f"should use only {', '.join(_FIELDS)}, and not {unknown[0]}")
    if not {("barcode", ""), ("name", "")} <= set(used):
        raise ValueError("should have {barcode} and {name}, or books would overwrite each other")
    if {"", ".", ".."} & set(parts):
        raise ValueError("should stay below the done bucket, without empty parts")
    if sum(field == "version" for field, _ in used) != template.split("/").count(_FOLDER):
        raise ValueError("should have {version} as a folder of its own, or books could overwrite each other")
    return template


def fill(template: str, barcode: str, name: str, library: str, version: int = 1) -> str:
    """The key of a book's file; `version` counts from 1."""
    return _of_version(template, version).format(barcode=barcode, name=name, library=library, version=f"v{version}")


def _of_version(template: str, version: int) -> str:
    parts = template.split("/")
    if version == 1:
        return "/".join(part for part in parts if part != _FOLDER)
    if _FOLDER in parts:
        return template
    return _NAME.sub(lambda found: f"v{version}/{found[0]}", template)


def listed(manifest: bytes) -> Iterator[tuple[str, str]]:
    """SHA-256 in hex and name of each file that the manifest of a tree names; "" and the line for one that names none.

    A name may still be one that no file of a book may have.
    """
    for line in manifest.decode(errors="replace").removesuffix("\n").split("\n") if manifest else ():
        found = _LINE.fullmatch(line)
        yield (found[1], found[2]) if found else ("", line)


@dataclass(frozen=True)
class Key:
    """Whose file a key stands for; `version` counts from 1."""

    barcode: str
    name: str
    version: int


class Keys:
    """All keys of one template and library."""

    def __init__(self, template: str, library: str) -> None:
        self.template = template
        self.library = library
        self._certain = _barcode_ends(template)
        numbered = _of_version(template, 2).replace("v2/", "{version}/", 1) if _FOLDER not in template else template
        self._patterns = [re.compile(self._pattern(text)) for text in (numbered, _of_version(template, 1))]

    def of(self, barcode: str, name: str, version: int = 1) -> str:
        """The key of a book's file."""
        return fill(self.template, barcode, name, self.library, version)

    def beside(self, manifest: str, name: str) -> str:
        """The key of a file that a manifest names, from the key of that manifest, which may be another template's."""
        known = self.parse(manifest)
        if known is not None and known.name == MANIFEST:
            return self.of(known.barcode, name, known.version)
        return manifest.removesuffix(MANIFEST) + name

    def parse(self, key: str) -> Key | None:
        """What a key stands for; None when it is none of this template's, or could be two books' at once."""
        for pattern in self._patterns:
            found = pattern.fullmatch(key)
            if found is None:
                continue
            groups = found.groupdict()
            known = Key(groups["barcode"], groups["name"], int(groups.get("version") or 1))
            if self.of(known.barcode, known.name, known.version) == key and self._is_certain(known):
                return known
        return None

    def _is_certain(self, known: Key) -> bool:
        return self._certain or known.name == PROVENANCE

    def _pattern(self, template: str) -> str:
        return "".join(self._pieces(template))

    def _pieces(self, template: str) -> Iterator[str]:
        seen: set[str] = set()
        groups = {
            "barcode": rf"(?P<barcode>{BARCODE}?)",
            "name": rf"(?P<name>{'.+' if self._certain else re.escape(PROVENANCE)})",
            "version": r"v(?P<version>[2-9]|[1-9][0-9]{1,5})",
            "library": re.escape(self.library),
        }
        for literal, field, spec, _ in string.Formatter().parse(template):
            yield re.escape(literal)
            if field is not None and (spec or field in seen):
                # A part of it, or once more: filling the template again tells whether it is right.
                yield "[^/]*"
            elif field is not None:
                seen.add(field)
                yield groups[field]


def _barcode_ends(template: str) -> bool:
    """Whether a key always tells where the barcode in it ends."""
    for part in template.split("/"):
        after = part.partition("{barcode}")
        if after[1] and (not after[2] or _ENDS_BARCODE.match(after[2].replace("{", "A", 1))):
            return True
    return False
