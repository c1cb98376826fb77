"""The policies by which wallets were judged, kept for replay."""

from pathlib import Path

from bridge.storage.migrations.scripts import run

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(Path(__file__).with_suffix(".up.sql"))


def downgrade() -> None:
    run(Path(__file__).with_suffix(".down.sql"))
