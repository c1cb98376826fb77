"""Hindsight is about each order that left, and the block that it got into."""

from pathlib import Path

from bridge.storage.migrations.scripts import run

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(Path(__file__).with_suffix(".up.sql"))


def downgrade() -> None:
    run(Path(__file__).with_suffix(".down.sql"))
