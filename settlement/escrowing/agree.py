"""Which terms can be agreed on: parties that differ where they must, a date that leaves time."""

from datetime import datetime, timedelta

from settlement.errors import InvalidInput
from settlement.escrow import Terms

SETTLE_TIME = timedelta(hours=1)
"""What the tokens amply need from card to purse; as much must be left of the escrow by then."""
EXPIRY_MAX = timedelta(days=366)
"""Nobody should wait longer for an attestation that may never come."""


def check_terms(terms: Terms, quote_expires_at: datetime, now: datetime) -> None:
    """Raises :class:`~settlement.errors.InvalidInput` naming the member of ``escrow``."""
    pairs = (
        ("payee", terms.payee, {"payer": terms.payer}),
        ("arbiter", terms.arbiter, {"payer": terms.payer, "payee": terms.payee}),
        ("oracle", terms.oracle, {"payee": terms.payee}),
    )
    for name, address, others in pairs:
        for other, taken in others.items():
            if address == taken:
                raise InvalidInput(
                    f"{name} and {other} are one address: nobody decides for itself",
                    param=f"escrow.{name}",
                )
    for name in ("payer", "payee", "arbiter", "oracle"):
        if getattr(terms, name) == terms.operator:
            raise InvalidInput(
                "this is an account of ours, which takes no side", param=f"escrow.{name}"
            )
    _check_expiry(terms.expires_at, quote_expires_at, now)


def settle_by(terms: Terms) -> datetime:
    """When the purse must have been filled: an escrow that is over at once protects nobody."""
    return terms.expires_at - SETTLE_TIME


def _check_expiry(expires_at: datetime, quote_expires_at: datetime, now: datetime) -> None:
    earliest = quote_expires_at + 2 * SETTLE_TIME
    latest = now + EXPIRY_MAX
    if not earliest <= expires_at <= latest:
        raise InvalidInput(
            f"expires_at must be from {earliest.isoformat(timespec='seconds')} "
            f"to {latest.isoformat(timespec='seconds')}",
            param="escrow.expires_at",
        )
