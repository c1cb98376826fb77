"""Run the statements of a migration's SQL file."""

from pathlib import Path

from alembic import op


def run(path: Path) -> None:
    """Execute the statements of ``path``, which a blank line separates."""
    for statement in path.read_text().split("\n\n"):
        text = "\n".join(line for line in statement.splitlines() if not line.startswith("--"))
        if text.strip():
            op.execute(text)
