"""The audit chains' heads cannot be emptied; the transfer graph knows its newest blocks' times."""

from pathlib import Path

from bridge.storage.migrations.scripts import run

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(Path(__file__).with_suffix(".up.sql"))


def downgrade() -> None:
    run(Path(__file__).with_suffix(".down.sql"))
