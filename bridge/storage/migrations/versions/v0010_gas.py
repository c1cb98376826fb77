"""Gas: each network's blocks, the newest outlook, decisions about when to send, models."""

from pathlib import Path

from bridge.storage.migrations.scripts import run

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(Path(__file__).with_suffix(".up.sql"))


def downgrade() -> None:
    run(Path(__file__).with_suffix(".down.sql"))
