"""Balance transactions: every movement of the account's money, with fees in integer arithmetic.

Source: https://docs.stripe.com/api/balance_transactions; fees https://stripe.com/pricing
"""

from __future__ import annotations

from .core import Emulator
from .ids import new_id
from .store import Json

FEE_PER_MILLE = 29
FEE_FIXED_MINOR = 30
DISPUTE_FEE_MINOR = 1500


def card_fee(amount_minor: int) -> int:
    """Return Stripe's fee on a card payment in minor units: 2.9% to the nearest unit, plus 30."""
    return (amount_minor * FEE_PER_MILLE + 500) // 1000 + FEE_FIXED_MINOR


def for_charge(emulator: Emulator, charge: Json, amount: int, *, at_once: bool) -> Json:
    """Record the income from a captured amount, available after the account's delay."""
    fee = card_fee(amount)
    delay = 0 if at_once else emulator.settings.funds_delay_seconds
    return record(
        emulator, charge["id"], charge["currency"], amount, fee, "charge", "charge", delay
    )


def for_refund(emulator: Emulator, refund: Json) -> Json:
    """Record the money of a refund leaving; Stripe keeps the fee of the payment."""
    return record(
        emulator, refund["id"], refund["currency"], -refund["amount"], 0, "refund", "refund"
    )


def for_failed_refund(emulator: Emulator, refund: Json) -> Json:
    """Record the money of a failed refund coming back."""
    return record(
        emulator,
        refund["id"],
        refund["currency"],
        refund["amount"],
        0,
        "refund_failure",
        "refund_failure",
    )


def for_dispute(emulator: Emulator, dispute: Json, *, won: bool) -> Json:
    """Record disputed money withdrawn with its fee, or given back."""
    amount = dispute["amount"] if won else -dispute["amount"]
    category = "dispute_reversal" if won else "dispute"
    fee = 0 if won else DISPUTE_FEE_MINOR
    return record(emulator, dispute["id"], dispute["currency"], amount, fee, "adjustment", category)


def record(
    emulator: Emulator,
    source: str,
    currency: str,
    amount: int,
    fee: int,
    kind: str,
    category: str,
    delay_seconds: int = 0,
) -> Json:
    """Insert one balance transaction; ``net`` is amount minus fee, all in minor units."""
    details = [
        {
            "amount": fee,
            "application": None,
            "currency": currency,
            "description": "Stripe processing fees",
            "type": "stripe_fee",
        }
    ]
    return emulator.add(
        "txn",
        {
            "id": new_id("txn"),
            "object": "balance_transaction",
            "amount": amount,
            "available_on": emulator.now() + delay_seconds,
            "balance_type": "payments",
            "created": emulator.now(),
            "currency": currency,
            "description": None,
            "exchange_rate": None,
            "fee": fee,
            "fee_details": details if fee else [],
            "net": amount - fee,
            "reporting_category": category,
            "source": source,
            "status": "pending" if delay_seconds else "available",
            "type": kind,
        },
    )
