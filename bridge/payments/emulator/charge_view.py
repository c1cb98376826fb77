"""A charge as it is created: authorised or declined, with the card's details as Stripe shows them.

Source: https://docs.stripe.com/api/charges/object
"""

from __future__ import annotations

from .cards import TestCard
from .core import Emulator
from .ids import new_id, random_text
from .store import Json

_NETWORK_CODES = {"insufficient_funds": "51", "expired_card": "54", "lost_card": "41"}

_ABSENT_AT_FIRST = (
    "application",
    "application_fee",
    "application_fee_amount",
    "balance_transaction",
    "failure_balance_transaction",
    "on_behalf_of",
    "receipt_number",
    "receipt_url",
    "review",
    "source_transfer",
    "transfer_data",
    "transfer_group",
)


def new_charge(
    emulator: Emulator,
    intent: Json,
    method: Json,
    card: TestCard,
    *,
    authenticated: bool = False,
    declined: tuple[str, str, str] | None = None,
) -> Json:
    """Return a charge for an intent; ``declined`` is its code, message and decline code."""
    return {
        "id": new_id("ch"),
        "object": "charge",
        **dict.fromkeys(_ABSENT_AT_FIRST),
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "TIDEGATE",
        "captured": False,
        "created": emulator.now(),
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_code": declined[0] if declined else None,
        "failure_message": declined[1] if declined else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "outcome": _outcome(card, declined),
        "paid": declined is None,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {
            "type": "card",
            "card": _card_details(emulator, intent, method, card, authenticated, declined is None),
        },
        "receipt_email": intent["receipt_email"],
        "refunded": False,
        "shipping": intent["shipping"],
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "failed" if declined else "succeeded",
    }


def _outcome(card: TestCard, declined: tuple[str, str, str] | None) -> Json:
    outcome: Json = {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "approved_by_network",
        "reason": None,
        "risk_level": card.risk_level,
        "risk_score": card.risk_score,
        "seller_message": "Payment complete.",
        "type": "authorized",
    }
    if declined is None:
        return outcome
    if card.decline == "fraudulent":
        message = "Stripe blocked this payment as too risky."
        blocked = {"type": "blocked", "network_status": "not_sent_to_network"}
        return {**outcome, **blocked, "reason": "highest_risk_level", "seller_message": message}
    return {
        **outcome,
        "type": "issuer_declined",
        "network_status": "declined_by_network",
        "network_decline_code": _NETWORK_CODES.get(declined[2], "05"),
        "reason": declined[2],
        "seller_message": f"The bank returned the decline code `{declined[2]}`.",
    }


def _card_details(
    emulator: Emulator,
    intent: Json,
    method: Json,
    card: TestCard,
    authenticated: bool,
    approved: bool,
) -> Json:
    shown = method["card"]
    copied = ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding")
    details: Json = {
        **{name: shown[name] for name in copied},
        "amount_authorized": intent["amount"] if approved else None,
        "authorization_code": f"{int.from_bytes(random_text(4).encode()) % 10**6:06d}"
        if approved
        else None,
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "last4": shown["last4"],
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": card.brand,
        "network_token": {"used": False},
        "network_transaction_id": random_text(15).upper() if approved else None,
        "overcapture": {"maximum_amount_capturable": intent["amount"], "status": "unavailable"},
        "regulated_status": "unregulated",
        "three_d_secure": _authenticated() if authenticated else None,
        "transaction_link_id": None,
        "wallet": None,
    }
    if approved and intent["capture_method"] == "manual":
        details["capture_before"] = emulator.now() + emulator.settings.authorization_seconds
    return details


def _authenticated() -> Json:
    return {
        "authentication_flow": "challenge",
        "electronic_commerce_indicator": "05",
        "exemption_indicator": None,
        "result": "authenticated",
        "result_reason": None,
        "transaction_id": random_text(36),
        "version": "2.2.0",
    }
