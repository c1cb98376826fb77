"""Cursor pages: what a list request asks for and what it gets.

Rows come newest first. ``starting_after`` continues towards older rows, ``ending_before`` towards
newer ones (https://docs.stripe.com/api/pagination); the cursor is a row's id and need not exist.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from settlement.errors import InvalidInput

T = TypeVar("T")

MAX_LIMIT = 100
DEFAULT_LIMIT = 10


@dataclass(frozen=True, slots=True)
class Page:
    """Up to ``limit`` rows (1 to 100) after or before a cursor, not both.

    Raises :class:`~settlement.errors.InvalidInput`.
    """

    limit: int = DEFAULT_LIMIT
    starting_after: str | None = None
    ending_before: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_LIMIT:
            raise InvalidInput(f"limit must be from 1 to {MAX_LIMIT}", param="limit")
        if self.starting_after is not None and self.ending_before is not None:
            raise InvalidInput("give either starting_after or ending_before", param="ending_before")


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """Rows newest first; ``has_more`` looks on in the direction of the request."""

    rows: list[T]
    has_more: bool
