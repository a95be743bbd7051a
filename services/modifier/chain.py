"""From the names under `modifications:` to the modifications themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from services.modifier import naming, order
from services.modifier.modification import Modification

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


def problems_of(specs: Sequence[Any], base: Path) -> list[str]:
    """A sentence for each thing that is wrong with the chain: with what is in it, else with its order."""
    problems: list[str] = []
    made = []
    for spec in specs:
        try:
            name, modification = _made(spec, base)
        except ValueError as error:
            problems.append(str(error))
        else:
            problems += naming.problems(f"Modification {name}", modification.check)
            made.append((name, modification))
    return problems or list(order.problems(made))


def build(specs: Sequence[Any], base: Path) -> Iterator[tuple[str, Modification]]:
    """The modifications by their names, in order; ValueError when one cannot be made, as `problems_of` has said before.

    `base` is the configuration's folder.
    """
    return (_made(spec, base) for spec in specs)


def _made(spec: Any, base: Path) -> tuple[str, Modification]:
    name, options = _split(spec)
    cls = naming.find("modification", name, SHIPPED, Modification)
    modification = naming.made(f"modification {name}", lambda: cls(options))
    modification.base = base
    return name, modification


def _split(spec: Any) -> tuple[str, Mapping[str, Any]]:
    if isinstance(spec, str):
        return spec, {}
    if not isinstance(spec, Mapping) or len(spec) != 1 or not isinstance(name := next(iter(spec)), str):
        raise ValueError(
            f"A modification is written as its name, or with options as {{name: {{option: value}}}}, not {spec}."
        )
    options = {} if spec[name] is None else spec[name]
    if isinstance(options, Mapping):
        return name, options
    raise ValueError(f"The options of the modification {name} are written {{option: value}}, not {options}.")
