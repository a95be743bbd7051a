"""The shape of the project: what may import what, and how long a thing may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = [path for part in ("common", "services", "simulator") for path in sorted((ROOT / part).rglob("*.py"))]


def imports(path: Path) -> set[str]:
    """Top-level names of all packages that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function's name and number of lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path.relative_to(ROOT)}:{node.name}", (node.end_lineno or 0) - node.lineno + 1


def test_common_imports_no_service() -> None:
    """common/ knows nothing of services/ and of the simulator, so any image can hold it alone."""
    common = [path for path in CODE if path.is_relative_to(ROOT / "common")]
    assert [path for path in common if imports(path) & {"services", "simulator"}] == []


def test_services_do_not_import_each_other() -> None:
    """Each stage's image holds one service; only the orchestrator's demo may start the simulator, as a process."""
    for path in CODE:
        parts = path.relative_to(ROOT).parts
        if parts[0] != "services" or len(parts) < 3:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("services."):
                assert (node.module or "").split(".")[1] == parts[1], path
        assert "simulator" not in imports(path), path


def test_only_the_board_renames_tokens() -> None:
    """No file but board.py renames by os.rename; others that rename do it to folders of their own."""
    guilty = [path.name for path in CODE if "os.rename(" in path.read_text() and path.name != "board.py"]
    assert guilty == []


def test_sizes() -> None:
    """No function is over 50 lines, no file over 350; the median function has at most 8."""
    lengths = sorted((lines, name) for path in CODE for name, lines in functions(path))
    assert [pair for pair in lengths if pair[0] > 50] == []
    assert lengths[len(lengths) // 2][0] <= 8
    assert [str(path) for path in CODE if len(path.read_text().splitlines()) > 350] == []


def test_every_test_says_what_it_holds() -> None:
    """Each test has a docstring of its own."""
    tests = {
        f"{path.name}:{node.name}": ast.get_docstring(node)
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    assert [name for name, docstring in tests.items() if not docstring] == []
