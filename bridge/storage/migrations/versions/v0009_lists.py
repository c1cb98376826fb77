"""Address lists in versions, with what each named and from when until when."""

from pathlib import Path

from bridge.storage.migrations.scripts import run

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(Path(__file__).with_suffix(".up.sql"))


def downgrade() -> None:
    run(Path(__file__).with_suffix(".down.sql"))
