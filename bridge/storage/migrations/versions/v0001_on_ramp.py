"""The on-ramp: tenants, quotes, orders, books, batches, inbox."""

from pathlib import Path

from bridge.storage.migrations.scripts import run

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(Path(__file__).with_suffix(".up.sql"))


def downgrade() -> None:
    run(Path(__file__).with_suffix(".down.sql"))
