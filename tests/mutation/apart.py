"""A pytest plugin: each run of the tests has a temporary folder of its own, so that two at once never meet in one."""

from __future__ import annotations

import shutil
import tempfile

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Make the folder, before pytest makes one."""
    config.option.basetemp = tempfile.mkdtemp(prefix="apart-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove it."""
    shutil.rmtree(config.option.basetemp, ignore_errors=True)
