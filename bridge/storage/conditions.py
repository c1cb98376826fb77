"""Conditions that indexes and statements must spell alike, or the planner sees no connection.

Apart from the tables, so that a process which only runs statements does not load the schema's
classes: importing them takes longer than everything else in storage.
"""

from collections.abc import Iterable

from settlement.batch import OPEN
from settlement.escrow import ENDED
from settlement.order import FINAL


def quoted(values: Iterable[str]) -> str:
    """``'a', 'b'`` for SQL; the values are our own enums."""
    return ", ".join(f"'{value}'" for value in values)


NOT_FINAL = f"status NOT IN ({quoted(sorted(FINAL))})"
"""The claims' partial index."""

PAYABLE = "status IN ('captured', 'submitted', 'confirming') AND batch_id IS NULL"
"""What a batch may pay."""

CALL_WAITS = "batch_id IS NULL AND refused_at IS NULL"
"""Contract calls that no lane has planned yet."""

IS_OPEN = f"status IN ({quoted(sorted(OPEN))})"
"""Batches that a lane still has to bring to an end."""

ESCROW_LIVES = f"status NOT IN ({quoted(sorted(ENDED))})"
"""Escrows that a stage still looks at."""

NOTE_WAITS = "told < version"
"""Escrows whose payment intent does not say yet how they stand."""

ACTION_COUNTS = "status <> 'failed'"
"""What was signed and not found to lead nowhere."""

UNSCORED = (
    "outcome = 'clear' AND order_id IS NOT NULL"
    """ AND (reasons @? '$[*].code ? (@ starts with "abstained.")')"""
)
"""Orders that were cleared although nothing could be said about the wallet."""
