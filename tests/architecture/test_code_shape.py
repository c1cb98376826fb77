"""Rules of shape that would otherwise erode: lengths, no float near money, no patched mocks."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("bridge", "chain", "compliance_graph", "settlement", "benchmarks")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
MONEY = ("settlement", "bridge/storage", "bridge/payments", "bridge/prices", "bridge/api")


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "node_modules" not in path.parts:
                yield path


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_file_is_too_long_to_read():
    """A long file is two rooms with the wall missing."""
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sources(*PRODUCT, "tests")
        if (lines := path.read_text().count("\n")) > FILE_LINES_MAX
    }
    assert long == {}


def test_no_function_is_too_long_to_hold_in_mind():
    """Functions stay under the limit; their median stays short."""
    lengths = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": (node.end_lineno or 0)
        - node.lineno
        + 1
        for path in sources(*PRODUCT, "tests")
        for node in functions(path)
    }
    assert {name: n for name, n in lengths.items() if n > FUNCTION_LINES_MAX} == {}
    ordered = sorted(lengths.values())
    assert ordered[len(ordered) // 2] <= 16


def test_every_module_says_why_it_exists():
    """A module without a docstring leaves its reader guessing."""
    silent = [
        str(path.relative_to(ROOT))
        for path in sources(*PRODUCT)
        if path.read_text().strip() and ast.get_docstring(ast.parse(path.read_text())) is None
    ]
    assert silent == []


@pytest.mark.parametrize("folder", MONEY)
def test_no_float_touches_money(folder):
    """No float literal, call or annotation in modules that compute or carry amounts."""
    found = []
    for path in sources(folder):
        for node in ast.walk(ast.parse(path.read_text())):
            is_literal = isinstance(node, ast.Constant) and type(node.value) is float
            is_name = isinstance(node, ast.Name) and node.id == "float"
            if (is_literal or is_name) and not _measures_time(path, node):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []


def _measures_time(path: Path, node: ast.expr) -> bool:
    """Seconds may be fractions: the line must say that it is about time."""
    line = path.read_text().splitlines()[node.lineno - 1]
    return re.search(r"_s\b|_seconds|seconds|timeout|delay|time", line) is not None


def test_tests_patch_nothing():
    """Fakes ship beside adapters; a patched singleton proves only that it was patched."""
    pattern = re.compile(r"MagicMock|AsyncMock|mock\.patch|monkeypatch\.setattr|from unittest")
    guilty = [
        str(path.relative_to(ROOT))
        for path in sources("tests")
        if path != Path(__file__) and pattern.search(path.read_text())
    ]
    assert guilty == []


def test_tests_wait_for_conditions_instead_of_sleeping():
    """A sleep is either too short or too long; only the shared waiting helper may pause."""
    pattern = re.compile(r"\b(?:time|asyncio|anyio)\.sleep\((?!0\))")
    helper = ROOT / "tests" / "support" / "waiting.py"
    guilty = [
        str(path.relative_to(ROOT))
        for path in sources("tests")
        if path not in (helper, Path(__file__)) and pattern.search(path.read_text())
    ]
    assert guilty == []
