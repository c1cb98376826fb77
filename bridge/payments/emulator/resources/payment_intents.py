"""Payment intents (https://docs.stripe.com/api/payment_intents)."""

from __future__ import annotations

import hmac
from typing import Any

from .. import charging
from ..core import Call, Emulator, Route
from ..errors import forbidden, invalid, missing, unexpected_state
from ..params import CREATED, EXPAND, PAGE, enum, merge_metadata, text
from ..store import Json
from ..views import equal, page
from . import customers, payment_methods
from .intent_fields import (
    CAPTURE,
    CONFIRM,
    CREATE,
    REASONS,
    UPDATE,
    check_amount,
    given_members,
    new_intent,
)

_FIXED_ONCE_AUTHORISED = (
    "amount",
    "currency",
    "capture_method",
    "payment_method",
    "payment_method_data",
    "payment_method_options",
    "payment_method_types",
)
_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")


def create(emulator: Emulator, call: Call) -> Json:
    """Create an intent and, with ``confirm``, try to pay it at once.

    Raises ApiError: 400 for an amount or currency that cannot be charged, 402 for a declined card.
    """
    params = call.params
    currency = str(params["currency"]).lower()
    check_amount(params["amount"], currency)
    if not params.get("confirm") and params.get("off_session") is not None:
        message = "`off_session` may only be set when `confirm=true`."
        raise invalid(message, param="off_session")
    intent = new_intent(emulator, params, currency)
    method = _method(emulator, params)
    if method is not None:
        intent["payment_method"] = method["id"]
        intent["status"] = "requires_confirmation"
    emulator.add("pi", intent)
    emulator.emit("payment_intent.created", intent)
    return _confirm(emulator, call, intent) if params.get("confirm") else intent


def retrieve(emulator: Emulator, call: Call) -> Json:
    """Return an intent; with a publishable key only for its client secret."""
    return _authorised(emulator, call)


def update(emulator: Emulator, call: Call) -> Json:
    """Change an intent that is not yet authorised; afterwards only its descriptive members.

    Raises ApiError (400) for a change that the status does not allow.
    """
    intent, params = emulator.find(call.target, "pi"), call.params
    guarded = _FIXED_ONCE_AUTHORISED
    if intent["status"] not in _OPEN and any(name in params for name in guarded):
        raise unexpected_state(
            "This PaymentIntent's "
            f"{', '.join(name for name in guarded if name in params)} could not be updated because "
            f"it has a status of {intent['status']}. You may only update a PaymentIntent with one "
            f"of the following statuses: {', '.join(_OPEN)}.",
            intent,
        )
    changes = given_members(params)
    for name in ("amount", "customer"):
        if name in params:
            changes[name] = params[name]
    changes["currency"] = str(params.get("currency") or intent["currency"]).lower()
    check_amount({**intent, **changes}["amount"], changes["currency"])
    if changes.get("customer"):
        customers.living(emulator, changes["customer"], "customer")
    if "metadata" in params:
        changes["metadata"] = merge_metadata(intent["metadata"], params["metadata"])
    method = _method(emulator, params)
    if method is not None:
        changes |= {"payment_method": method["id"], "status": "requires_confirmation"}
        changes |= {"next_action": None}
    return emulator.change(intent, **changes)


def list_all(emulator: Emulator, call: Call) -> Json:
    """List intents, newest first."""
    return page(emulator, call, "pi", equal(call.params, "customer"))


def confirm(emulator: Emulator, call: Call) -> Json:
    """Try to pay an intent.

    Raises ApiError: 400 when its status does not allow that, 402 when the card is declined.
    """
    intent = _authorised(emulator, call)
    if intent["status"] not in _OPEN:
        why = {
            "succeeded": "it has already succeeded after being previously confirmed",
            "requires_capture": "it has already succeeded after being previously confirmed",
        }.get(intent["status"], f"it has a status of {intent['status']}")
        raise unexpected_state(f"You cannot confirm this PaymentIntent because {why}.", intent)
    changes = given_members(call.params)
    return _confirm(emulator, call, emulator.change(intent, **changes))


def capture(emulator: Emulator, call: Call) -> Json:
    """Take the held money, or a part of it; the rest is released.

    Raises ApiError (400): not in ``requires_capture``, more than is held, or too late.
    """
    intent = emulator.find(call.target, "pi")
    if intent["status"] != "requires_capture":
        why = f"it has a status of {intent['status']}"
        if intent["status"] == "succeeded":
            why = "it has already been captured"
        raise unexpected_state(
            f"This PaymentIntent could not be captured because {why}. Only a PaymentIntent with "
            "one of the following statuses may be captured: requires_capture.",
            intent,
        )
    charge = emulator.find(intent["latest_charge"], "ch")
    if emulator.now() >= charging.capture_before(charge):
        message = f"The authorization of charge {charge['id']} has expired."
        raise invalid(message, code="capture_charge_authorization_expired", charge=charge["id"])
    held: int = intent["amount_capturable"]
    amount: int = call.params.get("amount_to_capture", held)
    if amount < 1:
        message = "This value must be greater than or equal to 1."
        raise invalid(message, code="parameter_invalid_integer", param="amount_to_capture")
    if amount > intent["amount_capturable"]:
        message = "The amount to capture is greater than the amount that can be captured."
        raise invalid(message, code="amount_too_large", param="amount_to_capture")
    if "metadata" in call.params:
        metadata = merge_metadata(intent["metadata"], call.params["metadata"])
        intent = emulator.change(intent, metadata=metadata)
    return charging.take(emulator, intent, charge, amount, "charge.captured")


def cancel(emulator: Emulator, call: Call) -> Json:
    """Cancel an intent and release what it holds.

    Raises ApiError (400) once it has succeeded or is canceled.
    """
    intent = emulator.find(call.target, "pi")
    allowed = ("requires_payment_method", "requires_capture", *_OPEN[1:], "processing")
    if intent["status"] not in allowed:
        raise unexpected_state(
            f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}. "
            "Only a PaymentIntent with one of the following statuses may be canceled: "
            f"{', '.join(allowed)}.",
            intent,
        )
    return charging.void(emulator, intent, call.params.get("cancellation_reason"))


def _authorised(emulator: Emulator, call: Call) -> Json:
    intent = emulator.store.get("payment_intents", call.target)
    secret = call.params.get("client_secret")
    if call.publishable and not secret:
        message = "You must provide a client_secret when using a publishable key."
        raise forbidden(message, "secret_key_required")
    known = intent is not None and (
        secret is None or hmac.compare_digest(intent["client_secret"].encode(), secret.encode())
    )
    if intent is None or not known:
        # A wrong secret looks like no intent at all, so that ids cannot be probed.
        raise missing("payment_intent", call.target, "intent")
    return intent


def _confirm(emulator: Emulator, call: Call, intent: Json) -> Json:
    method = _method(emulator, call.params)
    if method is None and intent["payment_method"] is not None:
        method = emulator.find(intent["payment_method"], "pm", "payment_method")
    if method is None:
        raise unexpected_state(
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can "
            "either update the PaymentIntent with a payment method and then confirm it again, or "
            "confirm it again directly with a payment method or ConfirmationToken.",
            intent,
        )
    if method["customer"] not in (None, intent["customer"]):
        message = "The provided PaymentMethod is attached to a customer that this PaymentIntent"
        raise invalid(f"{message} does not have.", param="payment_method")
    automatic = intent["automatic_payment_methods"] or {}
    on_server = not call.publishable and not call.params.get("use_stripe_sdk")
    redirects = automatic.get("allow_redirects") == "always"
    if redirects and on_server and not call.params.get("return_url"):
        raise invalid(
            "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. "
            "Because some of these payment methods might redirect your customer off of your page, "
            "you must provide a `return_url`. If you don't want to accept redirect-based payment "
            "methods, set `automatic_payment_methods[enabled]` to `true` and "
            "`automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents "
            "and Payment Intents.",
            param="return_url",
        )
    return charging.attempt(emulator, intent, method, call.params)


def _method(emulator: Emulator, params: dict[str, Any]) -> Json | None:
    if params.get("payment_method_data"):
        return payment_methods.add(emulator, params["payment_method_data"])
    reference = params.get("payment_method")
    if reference is None:
        return None
    method = payment_methods.resolve(emulator, reference)
    if method.get("_detached"):
        raise invalid(
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer "
            "attachment, shared with a connected account without Customer attachment, or was "
            "detached from a Customer. It may not be used again.",
        )
    return method


_BASE = "/v1/payment_intents"
ROUTES = (
    Route("POST", _BASE, create, CREATE),
    Route("GET", _BASE, list_all, (*PAGE, *CREATED, *text("customer"))),
    Route("GET", _BASE + "/{id}", retrieve, (*text("client_secret"), *EXPAND), publishable=True),
    Route("POST", _BASE + "/{id}", update, UPDATE),
    Route("POST", _BASE + "/{id}/confirm", confirm, CONFIRM, publishable=True),
    Route("POST", _BASE + "/{id}/capture", capture, CAPTURE),
    Route(
        "POST",
        _BASE + "/{id}/cancel",
        cancel,
        (*enum("cancellation_reason", *REASONS), *EXPAND),
    ),
)
