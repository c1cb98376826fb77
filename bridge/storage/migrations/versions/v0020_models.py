"""What a model ranks accounts by is kept, so that it can be asked again."""

from pathlib import Path

from bridge.storage.migrations.scripts import run

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(Path(__file__).with_suffix(".up.sql"))


def downgrade() -> None:
    run(Path(__file__).with_suffix(".down.sql"))
