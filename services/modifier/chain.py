"""From the names under `modifications:` to the modifications themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from services.modifier.modification import Modification
from services.modifier.naming import find

_FOLDER = "services.modifier.modifications"
# Imported only when they are asked for: some bring a library that takes its time.
SHIPPED: Mapping[str, str] = {
    "fixity": f"{_FOLDER}.fixity:Fixity",
    "marc": f"{_FOLDER}.marc:Marc",
    "ocr_text": f"{_FOLDER}.ocr_text:OcrText",
    "ocr_jsonl": f"{_FOLDER}.ocr_jsonl:OcrJsonl",
    "page_index": f"{_FOLDER}.page_index:PageIndex",
    "catalogue_record": f"{_FOLDER}.catalogue_record:CatalogueRecord",
    "iiif": f"{_FOLDER}.iiif:Iiif",
    "preview": f"{_FOLDER}.preview:Preview",
    "prune": f"{_FOLDER}.prune:Prune",
    "rename": f"{_FOLDER}.rename:Rename",
}

Spec = str | dict[str, dict[str, Any] | None]


def problems_of(specs: Sequence[Spec], base: Path) -> list[str]:
    """A sentence for each thing that is wrong with the chain."""
    problems: list[str] = []
    for spec in specs:
        try:
            problems += [f"Modification {_split(spec)[0]}: {problem}" for problem in _make(spec, base).check()]
        except ValueError as error:
            problems.append(str(error))
    return problems


def build(specs: Sequence[Spec], base: Path) -> list[Modification]:
    """Make the modifications, in their order; ValueError when one cannot be made, as `problems_of` has said before.

    `base` is the configuration's folder.
    """
    return [_make(spec, base) for spec in specs]


def _make(spec: Spec, base: Path) -> Modification:
    name, options = _split(spec)
    made = find("modification", name, SHIPPED, Modification)(options)
    made.base = base
    return made


def _split(spec: Spec) -> tuple[str, Mapping[str, Any]]:
    if isinstance(spec, str):
        return spec, {}
    if len(spec) != 1:
        raise ValueError(f"A modification with options is written {{name: {{option: value}}}}, not {spec}.")
    name, options = next(iter(spec.items()))
    return name, options or {}
