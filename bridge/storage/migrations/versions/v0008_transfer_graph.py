"""Screening keeps who paid whom: accounts, transfers, and how far each source has been read."""

from pathlib import Path

from bridge.storage.migrations.scripts import run

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(Path(__file__).with_suffix(".up.sql"))


def downgrade() -> None:
    run(Path(__file__).with_suffix(".down.sql"))
