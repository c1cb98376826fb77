"""A refund's life: money leaves a captured charge, at once, later, or comes back when it fails.

Source: https://docs.stripe.com/refunds and https://docs.stripe.com/testing#refunds
"""

from __future__ import annotations

from . import balance
from .charging import refund_row
from .core import Emulator, previous
from .errors import invalid
from .resources.payment_methods import behaviour
from .store import Json


def refund(emulator: Emulator, charge: Json, amount: int | None, reason: str | None) -> Json:
    """Refund ``amount`` minor units of a charge, by default all that is left.

    Raises ApiError (400) when nothing was captured, the charge is lost to a dispute, or the amount
    is more than what is left.
    """
    _check_refundable(emulator, charge)
    left = charge["amount"] - charge["amount_refunded"]
    if left == 0:
        message = f"Charge {charge['id']} has already been refunded."
        raise invalid(message, code="charge_already_refunded", charge=charge["id"])
    amount = left if amount is None else amount
    if amount < 1:
        message = "This value must be greater than or equal to 1."
        raise invalid(message, code="parameter_invalid_integer", param="amount")
    if amount > left:
        message = f"Refund amount ({_shown(amount)}) is greater than unrefunded amount on charge"
        raise invalid(f"{message} ({_shown(left)})", param="amount", charge=charge["id"])
    card = behaviour(emulator.find(charge["payment_method"], "pm"))
    row = {**refund_row(emulator, charge, amount), "reason": reason}
    row["balance_transaction"] = balance.for_refund(emulator, row)["id"]
    if card.refund == "pending":
        row |= {"status": "pending", "pending_reason": "processing"}
    emulator.add("re", row)
    if card.refund != "instant":
        kind = "refund_success" if card.refund == "pending" else "refund_failure"
        emulator.schedule(kind, row["id"], emulator.now() + emulator.settings.refund_delay_seconds)
    return row


def announce(emulator: Emulator, row: Json) -> None:
    """Count a new refund on its charge and emit the events of both."""
    emulator.emit("refund.created", row)
    before = emulator.find(row["charge"], "ch")
    refunded = before["amount_refunded"] + row["amount"]
    after = emulator.change(before, amount_refunded=refunded, refunded=refunded == before["amount"])
    emulator.emit("charge.refunded", after, previous(before, after))


def settle(emulator: Emulator, before: Json, *, succeeded: bool) -> Json:
    """Decide a refund: pending to succeeded, or pending or succeeded to failed.

    Raises ApiError (400) when it has failed or been decided for success already.
    """
    if before["status"] == "failed" or (succeeded and before["status"] != "pending"):
        raise invalid(f"Refund {before['id']} is already {before['status']}.")
    changes: Json = {"status": "succeeded" if succeeded else "failed"}
    if not succeeded:
        transaction = balance.for_failed_refund(emulator, before)
        changes["failure_balance_transaction"] = transaction["id"]
        changes["failure_reason"] = "expired_or_canceled_card"
    kept = {name: value for name, value in before.items() if name != "pending_reason"}
    after = emulator.change(kept, **changes)
    emulator.emit("refund.updated", after, previous(before, after))
    if not succeeded:
        charge = emulator.find(after["charge"], "ch")
        left = charge["amount_refunded"] - after["amount"]
        emulator.change(charge, amount_refunded=left, refunded=False)
        emulator.emit("refund.failed", after)
    emulator.emit("charge.refund.updated", after)
    return after


def settle_later(emulator: Emulator, timer: Json) -> None:
    """Decide an asynchronous refund when its time has come, unless that was done by hand."""
    row = emulator.find(timer["subject"], "re")
    succeeded = timer["kind"] == "refund_success"
    if row["status"] == "pending" or (row["status"] == "succeeded" and not succeeded):
        settle(emulator, row, succeeded=succeeded)


def _check_refundable(emulator: Emulator, charge: Json) -> None:
    if charge["status"] != "succeeded" or not (charge["captured"] or charge["refunded"]):
        message = "This payment has no captured charge to refund; cancel it to release the funds."
        raise invalid(message, code="charge_not_refundable", charge=charge["id"])
    for dispute in emulator.store.newest_first("disputes"):
        if dispute["charge"] == charge["id"] and not dispute["is_charge_refundable"]:
            if dispute["status"] == "won":
                continue
            message = f"Charge {charge['id']} has been charged back; cannot issue a refund."
            raise invalid(message, code="charge_disputed", charge=charge["id"])


def _shown(amount_minor: int) -> str:
    return f"${amount_minor // 100}.{amount_minor % 100:02d}"
