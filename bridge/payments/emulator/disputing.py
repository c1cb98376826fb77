"""A dispute's life: opened by a card or by hand, answered or given up, won or lost.

Source: https://docs.stripe.com/disputes/how-disputes-work
"""

from __future__ import annotations

from . import balance
from .core import Emulator, previous
from .errors import invalid
from .ids import new_id
from .settings import DAY_SECONDS
from .store import Json

_ANSWER_DAYS = 9
EVIDENCE = (
    "access_activity_log",
    "billing_address",
    "cancellation_policy",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "receipt",
    "refund_policy",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_file",
    "uncategorized_text",
)
_REASON_CODES = {"fraudulent": "10.4", "product_not_received": "13.1"}


def open_dispute(emulator: Emulator, charge: Json, reason: str, *, inquiry: bool = False) -> Json:
    """Dispute a captured charge; unless it is an inquiry, its money is withdrawn at once.

    Raises ApiError (400) when the charge was not captured or is disputed already.
    """
    if not charge["captured"] or charge["disputed"]:
        raise invalid(f"Charge {charge['id']} cannot be disputed.", param="charge")
    dispute = emulator.add("du", _new_dispute(emulator, charge, reason, inquiry))
    charge = emulator.change(charge, disputed=True)
    emulator.emit("charge.updated", charge, {"disputed": False})
    if not inquiry:
        withdrawal = balance.for_dispute(emulator, dispute, won=False)
        dispute = emulator.change(dispute, balance_transactions=[withdrawal])
    emulator.emit("charge.dispute.created", dispute)
    if not inquiry:
        emulator.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def close(emulator: Emulator, dispute: Json) -> Json:
    """Give a dispute up, which loses it.

    Raises ApiError (400) when it is closed already.
    """
    if dispute["status"] not in ("needs_response", "warning_needs_response", "under_review"):
        raise invalid("This dispute is already closed.", code="dispute_already_closed")
    inquiry = dispute["status"].startswith("warning_")
    return _finish(emulator, dispute, "warning_closed" if inquiry else "lost")


def submit(emulator: Emulator, dispute: Json) -> Json:
    """Send the evidence; Stripe's test texts ``winning_evidence`` and ``losing_evidence`` decide.

    Source: https://docs.stripe.com/testing#evidence
    """
    inquiry = dispute["status"].startswith("warning_")
    details = dispute["evidence_details"]
    counted = {**details, "submission_count": details["submission_count"] + 1}
    status = "warning_under_review" if inquiry else "under_review"
    dispute = emulator.change(dispute, status=status, evidence_details=counted)
    text = dispute["evidence"]["uncategorized_text"]
    if text == "winning_evidence":
        return _finish(emulator, dispute, "warning_closed" if inquiry else "won")
    if text == "losing_evidence":
        return _finish(emulator, dispute, "warning_closed" if inquiry else "lost")
    return dispute


def _finish(emulator: Emulator, before: Json, status: str) -> Json:
    dispute = emulator.change(before, status=status)
    if status == "won":
        returned = balance.for_dispute(emulator, dispute, won=True)
        movements = [*dispute["balance_transactions"], returned]
        dispute = emulator.change(dispute, balance_transactions=movements)
        emulator.emit("charge.dispute.funds_reinstated", dispute)
    emulator.emit("charge.dispute.closed", dispute, previous(before, dispute))
    return dispute


def _new_dispute(emulator: Emulator, charge: Json, reason: str, inquiry: bool) -> Json:
    brand = charge["payment_method_details"]["card"]["brand"]
    return {
        "id": new_id("du"),
        "object": "dispute",
        "amount": charge["amount_captured"],
        "balance_transactions": [],
        "charge": charge["id"],
        "created": emulator.now(),
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys(EVIDENCE), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": emulator.now() + _ANSWER_DAYS * DAY_SECONDS,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": inquiry,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "type": "card",
            "card": {
                "brand": brand,
                "case_type": "inquiry" if inquiry else "chargeback",
                "network": brand,
                "network_reason_code": _REASON_CODES.get(reason, "10.4"),
            },
        },
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
    }
