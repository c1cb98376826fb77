"""Workers share lanes; operators pause networks and lanes; a lane's account may run low."""

from pathlib import Path

from bridge.storage.migrations.scripts import run

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(Path(__file__).with_suffix(".up.sql"))


def downgrade() -> None:
    run(Path(__file__).with_suffix(".down.sql"))
