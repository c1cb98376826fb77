"""What was cleared unscored, to be summed up by customer and by wallet."""

from pathlib import Path

from bridge.storage.migrations.scripts import run

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(Path(__file__).with_suffix(".up.sql"))


def downgrade() -> None:
    run(Path(__file__).with_suffix(".down.sql"))
