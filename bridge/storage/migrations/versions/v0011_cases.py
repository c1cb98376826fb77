"""Cases of orders in review, and an audit log in which each row seals the one before."""

from pathlib import Path

from bridge.storage.migrations.scripts import run

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(Path(__file__).with_suffix(".up.sql"))


def downgrade() -> None:
    run(Path(__file__).with_suffix(".down.sql"))
