"""Cases are ranked by the greatest of what score, rules and lists say."""

from pathlib import Path

from bridge.storage.migrations.scripts import run

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(Path(__file__).with_suffix(".up.sql"))


def downgrade() -> None:
    run(Path(__file__).with_suffix(".down.sql"))
