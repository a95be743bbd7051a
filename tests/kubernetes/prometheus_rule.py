"""Alerts and rules as the Prometheus Operator reads them: `python -m tests.kubernetes.prometheus_rule`."""

from __future__ import annotations

import textwrap
from pathlib import Path

from tests.monitoring.rules import MONITORING, RULE_FILES

TARGET = MONITORING.parent / "k8s" / "components" / "monitoring" / "rules.yaml"
_HEAD = """\
# A copy of monitoring/rules/*.yml, since Kustomize cannot put one YAML file into another. Change those, then:
#   python -m tests.kubernetes.prometheus_rule
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: grin-pipeline
spec:
  groups:
"""


def text() -> str:
    """The whole file: every rule file, with its comments."""
    return _HEAD + "\n".join(_groups(path) for path in sorted(RULE_FILES, reverse=True))


def _groups(path: Path) -> str:
    head, _, groups = path.read_text().partition("\ngroups:\n")
    return textwrap.indent(f"{head.strip()}\n{textwrap.dedent(groups)}", " " * 4)


def main() -> None:
    """Write it."""
    TARGET.write_text(text())


if __name__ == "__main__":
    main()
