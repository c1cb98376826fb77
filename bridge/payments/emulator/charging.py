"""What happens to a card: authorise, decline, challenge, capture, release, expire.

Every function is called within a transaction and moves the intent, its charge, the balance and the
events together. Source: https://docs.stripe.com/payments/paymentintents/lifecycle
"""

from __future__ import annotations

from typing import Any

from . import balance, disputing
from .cards import DECLINES, TestCard
from .charge_view import new_charge
from .core import Emulator, public
from .errors import ApiError, card_error, doc_url
from .ids import new_id
from .resources.payment_methods import behaviour
from .store import Json

AUTHENTICATION_FAILED = {
    "code": "payment_intent_authentication_failure",
    "doc_url": doc_url("payment_intent_authentication_failure"),
    "message": (
        "The provided PaymentMethod has failed authentication. You can provide "
        "payment_method_data or a new PaymentMethod to attempt to fulfill this PaymentIntent again."
    ),
    "type": "invalid_request_error",
}


def attempt(emulator: Emulator, intent: Json, method: Json, options: dict[str, Any]) -> Json:
    """Try to pay an intent with a payment method and return the intent.

    ``options`` are the parameters of confirm. Raises ApiError (402) when the card is declined; the
    attempt stays on record.
    """
    card = behaviour(method)
    intent = emulator.change(
        intent, payment_method=method["id"], last_payment_error=None, next_action=None
    )
    off_session = bool(options.get("off_session"))
    if not _must_authenticate(card, intent, off_session):
        return authorise(emulator, intent, method)
    if off_session or options.get("error_on_requires_action"):
        raise decline(emulator, intent, method, "authentication_required")
    return challenge(emulator, intent, options.get("return_url"))


def _must_authenticate(card: TestCard, intent: Json, off_session: bool) -> bool:
    if card.three_d_secure == "required":
        return not (off_session and card.off_session_exempt)
    asked = (intent["payment_method_options"].get("card") or {}).get("request_three_d_secure")
    return card.three_d_secure == "optional" and asked in ("any", "challenge")


def challenge(emulator: Emulator, intent: Json, return_url: str | None) -> Json:
    """Ask the customer to authenticate: the intent requires action.

    Without a return URL the action is Stripe.js's to handle, as at Stripe.
    """
    challenge_id = new_id("payatt")
    emulator.store.put(
        "challenges",
        challenge_id,
        {"id": challenge_id, "intent": intent["id"], "return_url": return_url, "status": "open"},
    )
    url = f"{emulator.public_url}/3ds/{challenge_id}"
    if return_url is not None:
        action: Json = {
            "type": "redirect_to_url",
            "redirect_to_url": {"return_url": return_url, "url": url},
        }
    else:
        kind = "three_d_secure_redirect"
        action = {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": kind, "stripe_js": url}}
    intent = emulator.change(intent, status="requires_action", next_action=action)
    emulator.emit("payment_intent.requires_action", intent)
    return intent


def authenticate(emulator: Emulator, challenge_row: Json, succeeded: bool) -> Json:
    """Finish a challenge and return the intent: paid, or declined, or in need of another card.

    A challenge that is over, or whose intent has moved on, changes nothing.
    """
    intent = emulator.find(challenge_row["intent"], "pi")
    current = challenge_row["id"] in str(intent["next_action"])
    if challenge_row["status"] != "open" or not current:
        return intent
    status = "succeeded" if succeeded else "failed"
    emulator.store.put("challenges", challenge_row["id"], {**challenge_row, "status": status})
    method = emulator.find(intent["payment_method"], "pm")
    if not succeeded:
        return _fail(emulator, intent, {**AUTHENTICATION_FAILED, "payment_method": public(method)})
    intent = emulator.change(intent, next_action=None)
    try:
        return authorise(emulator, intent, method, authenticated=True)
    except ApiError:
        # The decline is on the intent; the browser goes back to the shop either way.
        return emulator.find(intent["id"], "pi")


def authorise(
    emulator: Emulator, intent: Json, method: Json, *, authenticated: bool = False
) -> Json:
    """Charge the card: hold the amount, or take it at once unless capture is manual.

    Raises ApiError (402) when the card is declined.
    """
    card = behaviour(method)
    code = card.decline or ("processing_error" if card.three_d_secure == "error" else None)
    if code is not None:
        raise decline(emulator, intent, method, code)
    charge = new_charge(emulator, intent, method, card, authenticated=authenticated)
    emulator.add("ch", charge)
    intent = emulator.change(intent, latest_charge=charge["id"], next_action=None)
    if intent["capture_method"] != "manual":
        return take(emulator, intent, charge, charge["amount"], "charge.succeeded")
    lag = emulator.settings.expiry_lag_seconds
    emulator.schedule("authorization_expiry", charge["id"], capture_before(charge) + lag)
    emulator.emit("charge.succeeded", charge)
    intent = emulator.change(intent, status="requires_capture", amount_capturable=charge["amount"])
    emulator.emit("payment_intent.amount_capturable_updated", intent)
    return intent


def capture_before(charge: Json) -> int:
    """Return the Unix time at which an authorisation lapses."""
    return int(charge["payment_method_details"]["card"]["capture_before"])


def decline(emulator: Emulator, intent: Json, method: Json, code: str) -> ApiError:
    """Record a declined attempt and return its error.

    Source: https://docs.stripe.com/declines/codes
    """
    card = behaviour(method)
    error_code, message = DECLINES[code]
    charge = new_charge(emulator, intent, method, card, declined=(error_code, message, code))
    emulator.add("ch", charge)
    failure: Json = {
        "charge": charge["id"],
        "code": error_code,
        "decline_code": code,
        "message": message,
    }
    emulator.emit("charge.failed", charge)
    shown = public(method)
    intent = emulator.change(intent, latest_charge=charge["id"])
    kept = {
        **failure,
        "type": "card_error",
        "doc_url": doc_url(error_code),
        "payment_method": shown,
    }
    intent = _fail(emulator, intent, kept)
    return card_error(failure, payment_intent=intent, payment_method=shown)


def _fail(emulator: Emulator, intent: Json, error: Json) -> Json:
    intent = emulator.change(
        intent,
        status="requires_payment_method",
        payment_method=None,
        next_action=None,
        last_payment_error=error,
    )
    emulator.emit("payment_intent.payment_failed", intent)
    return intent


def take(emulator: Emulator, intent: Json, charge: Json, amount: int, event: str) -> Json:
    """Move money: capture ``amount`` minor units of a charge and return the succeeded intent.

    What is not captured is released, which Stripe shows as refunded without a movement of money
    (https://docs.stripe.com/api/charges/capture).
    """
    card = behaviour(emulator.find(charge["payment_method"], "pm"))
    emulator.unschedule("authorization_expiry", charge["id"])
    transaction = balance.for_charge(emulator, charge, amount, at_once=card.funds_at_once)
    charge = emulator.change(
        charge,
        captured=True,
        amount_captured=amount,
        balance_transaction=transaction["id"],
    )
    if amount < charge["amount"]:
        charge = release(emulator, charge, charge["amount"] - amount, None)
    emulator.emit(event, charge)
    intent = emulator.change(
        intent, status="succeeded", amount_received=amount, amount_capturable=0
    )
    emulator.emit("payment_intent.succeeded", intent)
    if card.dispute is not None:
        disputing.open_dispute(emulator, charge, card.dispute, inquiry=card.inquiry)
    return intent


def release(emulator: Emulator, charge: Json, amount: int, reason: str | None) -> Json:
    """Give back held money that was never taken: a refund without a balance transaction."""
    refund = {**refund_row(emulator, charge, amount), "reason": reason, "status": "succeeded"}
    refund["destination_details"] = {"type": "card", "card": {"type": "reversal"}}
    emulator.add("re", refund)
    refunded = charge["amount_refunded"] + amount
    return emulator.change(charge, amount_refunded=refunded, refunded=refunded == charge["amount"])


def refund_row(emulator: Emulator, charge: Json, amount: int) -> Json:
    """Return a refund that has not moved anything yet."""
    return {
        "id": new_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": emulator.now(),
        "currency": charge["currency"],
        "customer": charge["customer"],
        "customer_account": None,
        "destination_details": {
            "type": "card",
            "card": {
                "type": "refund",
                "reference_status": "pending",
                "reference_type": "acquirer_reference_number",
            },
        },
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def void(emulator: Emulator, intent: Json, reason: str | None) -> Json:
    """Cancel an intent and release what its charge holds."""
    if intent["status"] == "requires_capture":
        charge = emulator.find(intent["latest_charge"], "ch")
        emulator.unschedule("authorization_expiry", charge["id"])
        expired = reason == "automatic"
        why = "expired_uncaptured_charge" if expired else None
        charge = release(emulator, charge, charge["amount"], why)
        emulator.emit("charge.expired" if expired else "charge.refunded", charge)
    intent = emulator.change(
        intent,
        status="canceled",
        canceled_at=emulator.now(),
        cancellation_reason=reason,
        amount_capturable=0,
        next_action=None,
    )
    emulator.emit("payment_intent.canceled", intent)
    return intent


def expire(emulator: Emulator, timer: Json) -> None:
    """Cancel an intent whose authorisation nobody captured in time."""
    charge = emulator.find(timer["subject"], "ch")
    intent = emulator.find(charge["payment_intent"], "pi")
    if intent["status"] == "requires_capture" and intent["latest_charge"] == charge["id"]:
        void(emulator, intent, "automatic")


def move_challenges(emulator: Emulator) -> None:
    """Point open challenges at where this process serves its page."""
    for row in list(emulator.store.oldest_first("payment_intents")):
        action = row["next_action"]
        if action is None:
            continue
        kind, member = action["type"], "url" if "redirect_to_url" in action else "stripe_js"
        path = action[kind][member].partition("/3ds/")[2]
        moved = {**action[kind], member: f"{emulator.public_url}/3ds/{path}"}
        if moved != action[kind]:
            emulator.change(row, next_action={**action, kind: moved})
