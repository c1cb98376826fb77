"""Lanes sign more than payouts: kinds of batches, cancellations, contract calls."""

from pathlib import Path

from bridge.storage.migrations.scripts import run

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(Path(__file__).with_suffix(".up.sql"))


def downgrade() -> None:
    run(Path(__file__).with_suffix(".down.sql"))
