"""NOTIFY takes a database-wide lock at commit: one module sends it, and no transaction of ours."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.test_code_shape import PRODUCT, ROOT, sources

WAKE = ROOT / "bridge" / "storage" / "wake.py"
SENDS = re.compile(r"pg_notify|\bNOTIFY\s+\"?[a-z]")


def statements(path: Path) -> Iterator[str]:
    """Whatever could be SQL: texts that are no docstrings, and files of SQL without comments."""
    if path.suffix == ".sql":
        yield re.sub(r"--.*", "", path.read_text())
        return
    tree = ast.parse(path.read_text())
    documents = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in documents:
            yield str(node.value)


def test_one_module_alone_notifies() -> None:
    """Neither a stage's statement, nor a trigger of a migration, nor a second helper does."""
    files = [*sources(*PRODUCT), *(ROOT / "bridge").rglob("*.sql")]
    assert any(path.suffix == ".sql" for path in files)
    sending = {path for path in files if any(SENDS.search(text) for text in statements(path))}
    assert sending == {WAKE}


def test_what_writes_cannot_reach_what_notifies() -> None:
    """All statements of the store are in these modules, inside somebody's transaction."""
    importing = {
        str(path.relative_to(ROOT))
        for path in sources("bridge/storage")
        for node in ast.walk(ast.parse(path.read_text()))
        if path != WAKE and any(name.endswith("storage.wake") for name in _imported(node))
    }
    assert importing == set()


def _imported(node: ast.AST) -> list[str]:
    """Full names of what this statement imports, if it does."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []
