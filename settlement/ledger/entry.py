"""An entry moves one amount of one asset from one account to another.

One row names both its debit and its credit, so that an unbalanced entry cannot be written down
at all: not by us, and not in the database, whose columns repeat the same constraints. Balance
per asset and over all assets follows for every subset of rows.
"""

from dataclasses import dataclass
from enum import StrEnum

from settlement.errors import InvariantBroken
from settlement.ledger.accounts import Account
from settlement.money import Asset


class EntryState(StrEnum):
    """Pending entries reserve; they end posted (it happened) or voided (it never did)."""

    PENDING = "pending"
    POSTED = "posted"
    VOIDED = "voided"


@dataclass(frozen=True, slots=True)
class Entry:
    """``amount_minor`` (> 0) of ``asset`` from ``credit`` to ``debit``."""

    debit: Account
    credit: Account
    asset: Asset
    amount_minor: int
    state: EntryState = EntryState.POSTED

    def __post_init__(self) -> None:
        if self.amount_minor <= 0 or self.debit == self.credit:
            raise InvariantBroken(f"not an entry: {self}")


@dataclass(frozen=True, slots=True)
class Booking:
    """Everything that one event does to the books of one order (or batch).

    ``event`` is the journal's row; with the order it forms the permanent business key: a second
    booking of the same event is refused by a unique index. ``posts`` and ``voids`` name earlier
    events whose pending entries are resolved now.
    """

    event: str
    entries: tuple[Entry, ...] = ()
    posts: tuple[str, ...] = ()
    voids: tuple[str, ...] = ()
