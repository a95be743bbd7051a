"""The template of the keys under which files lie in the store; what audits need of it, too, is in common/."""

from __future__ import annotations

from common.store_keys import check_template, fill

__all__ = ["check_template", "fill"]
