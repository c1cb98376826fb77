"""When a training was last begun is remembered, whatever came of it."""

from pathlib import Path

from bridge.storage.migrations.scripts import run

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(Path(__file__).with_suffix(".up.sql"))


def downgrade() -> None:
    run(Path(__file__).with_suffix(".down.sql"))
