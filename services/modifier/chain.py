"""From the names under `modifications:` to the modifications themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common.errors import ConfigError
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


def build(specs: Sequence[Spec]) -> list[Modification]:
    """Make the modifications, in their order; ConfigError has a sentence for each that cannot be made."""
    chain: list[Modification] = []
    problems: list[str] = []
    for spec in specs:
        try:
            name, options = _split(spec)
            chain.append(find("modification", name, SHIPPED, Modification)(options))
        except ValueError as error:
            problems.append(str(error))
        else:
            problems += [f"Modification {name}: {problem}" for problem in chain[-1].check()]
    if problems:
        raise ConfigError(problems)
    return chain


def _split(spec: Spec) -> tuple[str, Mapping[str, Any]]:
    if isinstance(spec, str):
        return spec, {}
    if len(spec) != 1:
        raise ValueError(f"A modification with options is written {{name: {{option: value}}}}, not {spec}.")
    name, options = next(iter(spec.items()))
    return name, options or {}
