"""What an escrow owes the payee waits while its card payment is refunded or disputed."""

from pathlib import Path

from bridge.storage.migrations.scripts import run

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(Path(__file__).with_suffix(".up.sql"))


def downgrade() -> None:
    run(Path(__file__).with_suffix(".down.sql"))
