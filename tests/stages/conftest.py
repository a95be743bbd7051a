"""Stages that work on small books in tmp_path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from books import BARCODE, PACKED, story

from common.config import Settings, load
from common.stage import Book, Stage
from services.uploader.stage import Uploader


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A loaded configuration of the last three stages."""
    rows = [("extractor", "a", "b"), ("modifier", "b", "c"), ("uploader", "c", "d")]
    lines = ["global:", "  library: TESTLIB", "  done_bucket: done", "filters:"]
    for name, before, after in rows:
        lines += [f"- name: {name}", f"  class: {name.title()}"]
        lines += [f"  input_pipe: pipeline/{before}", f"  output_pipe: pipeline/{after}"]
    config = tmp_path / "config.yaml"
    config.write_text("\n".join(lines))
    return load(config, environ={})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The book's folder in the processing bucket."""
    path = tmp_path / "processing" / BARCODE
    path.mkdir(parents=True)
    return path


@pytest.fixture
def make(settings: Settings) -> Callable[..., Any]:
    """Makes a stage by its class, with the options given."""

    def make_stage(cls: type[Stage], **options: Any) -> Stage:
        row = settings.row(cls.__name__.lower()).model_copy(update={"options": options})
        return cls(settings, row)

    return make_stage


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """The done bucket; nobody has made it yet."""
    return tmp_path / "done"


@pytest.fixture
def book(folder: Path, done: Path) -> Book:
    """A book that the modifier has packed, and its story."""
    packed = folder / "modifier"
    packed.mkdir()
    for name, data in PACKED.items():
        (packed / name).write_bytes(data)
    return Book(BARCODE, folder, str(done), upstream=("modifier", "extractor"), events=story(PACKED))


@pytest.fixture
def uploader(make: Callable[..., Uploader]) -> Uploader:
    """An uploader with no options."""
    return make(Uploader)
