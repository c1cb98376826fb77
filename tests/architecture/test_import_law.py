"""The import law is executed, not remembered."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("bridge", "chain", "compliance_graph", "settlement")


def test_layers_import_inwards_only():
    """Every contract of .importlinter holds."""
    result = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_core_imports_nothing_but_itself_and_the_standard_library():
    """A list of forbidden packages can be incomplete; this one cannot."""
    allowed = {"settlement", *sys.stdlib_module_names}
    foreign = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / "settlement").rglob("*.py")
        for name in _imported_packages(path)
        if name not in allowed
    }
    assert foreign == set()


def _imported_packages(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names
