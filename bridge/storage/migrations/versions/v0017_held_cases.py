"""A paid order that is held for a sanctions list has a case of its own."""

from pathlib import Path

from bridge.storage.migrations.scripts import run

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(Path(__file__).with_suffix(".up.sql"))


def downgrade() -> None:
    run(Path(__file__).with_suffix(".down.sql"))
