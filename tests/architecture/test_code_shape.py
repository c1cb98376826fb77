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
CARRIES_MONEY = ("bridge/storage", "bridge/payments", "bridge/prices", "bridge/api", "chain/evm")
KEEPS_TIME = {
    "bridge/api/auth.py": "how long a key is remembered",
    "bridge/api/origins.py": "how long an origin is remembered",
    "bridge/payments/emulator/delivery.py": "when a delivery is due",
    "bridge/payments/emulator/settings.py": "pauses between deliveries",
}
"""Modules whose floats are moments or durations, on lines that cannot say it themselves."""


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


def floats(path: Path) -> Iterator[int]:
    """Lines with a float literal or the name ``float``."""
    for node in ast.walk(ast.parse(path.read_text())):
        is_literal = isinstance(node, ast.Constant) and type(node.value) is float
        if is_literal or (isinstance(node, ast.Name) and node.id == "float"):
            yield node.lineno


def test_the_rules_of_money_know_no_float_at_all():
    """Not even for time: the core counts milliseconds."""
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources("settlement")
        for line in floats(path)
    ]
    assert found == []


@pytest.mark.parametrize("folder", CARRIES_MONEY)
def test_a_float_beside_money_is_a_time(folder):
    """Modules that carry amounts use floats for seconds only, and the line says so."""
    about_time = re.compile(r"_s\b|seconds|timeout|delay|time|monotonic", re.I)
    found = []
    for path in sources(folder):
        lines = path.read_text().splitlines()
        if str(path.relative_to(ROOT)) not in KEEPS_TIME:
            bad = [line for line in floats(path) if not about_time.search(lines[line - 1])]
            found += [f"{path.relative_to(ROOT)}:{line}" for line in bad]
    assert found == []


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
    may_pause = {
        ROOT / "tests" / "support" / "waiting.py",
        ROOT / "tests" / "chain" / "scripted_node.py",  # a node that drips its answer
    }
    guilty = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources("tests")
        if path not in may_pause
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and _pauses(node)
    ]
    assert guilty == []


def _pauses(call: ast.Call) -> bool:
    """``time.sleep(n)``, ``asyncio.sleep(n)``, ``anyio.sleep(n)`` for any n but a literal 0."""
    is_sleep = isinstance(call.func, ast.Attribute) and call.func.attr == "sleep"
    yields = call.args and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0
    return is_sleep and not yields
