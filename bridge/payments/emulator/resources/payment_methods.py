"""Payment methods: cards only, by test number or by ``pm_card_*`` token.

Source: https://docs.stripe.com/api/payment_methods
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from ..cards import BY_NUMBER, BY_TOKEN, TestCard, passes_luhn
from ..core import Call, Emulator, Route, previous
from ..errors import ApiError, invalid, missing
from ..ids import new_id
from ..params import (
    EXPAND,
    METADATA,
    PAGE,
    enum,
    hashed,
    integer,
    merge_metadata,
    required,
    text,
)
from ..store import Json
from ..views import equal, page

_ADDRESS = text("city", "country", "line1", "line2", "postal_code", "state")
_BILLING = hashed("billing_details", hashed("address", _ADDRESS), text("email", "name", "phone"))
_CARD = hashed("card", text("number", "cvc", "token"), integer("exp_month", "exp_year"))
DATA = (
    *required(enum("type", "card")),
    *_CARD,
    *_BILLING,
    *METADATA,
    *enum("allow_redisplay", "always", "limited", "unspecified"),
)
_TOKEN_EXPIRY = (12, 2034)


def create(emulator: Emulator, call: Call) -> Json:
    """Create a payment method from card details.

    Raises ApiError (402) for a number, date or code that no card can have.
    """
    return add(emulator, call.params)


def add(emulator: Emulator, params: dict[str, Any]) -> Json:
    """Create a payment method from its endpoint's parameters or from ``payment_method_data``."""
    details = params.get("card") or {}
    token = details.get("token")
    if token is not None:
        card = BY_TOKEN.get(f"pm_card_{token.removeprefix('tok_')}")
        if card is None:
            raise missing("token", token, "card[token]")
        expiry = _TOKEN_EXPIRY
    else:
        card, expiry = _read_card(emulator, details)
    return emulator.add("pm", _build(emulator, card, expiry, params, bool(details.get("cvc"))))


def resolve(emulator: Emulator, reference: str, param: str = "payment_method") -> Json:
    """Return a payment method by id, making one when a ``pm_card_*`` token is given.

    Raises ApiError (404) when there is none.
    """
    card = BY_TOKEN.get(reference)
    if card is None:
        return emulator.find(reference, "pm", param)
    return emulator.add("pm", _build(emulator, card, _TOKEN_EXPIRY, {}, True))


def behaviour(method: Json) -> TestCard:
    """Return the test card behind a payment method."""
    return BY_NUMBER[method["_number"]]


def retrieve(emulator: Emulator, call: Call) -> Json:
    """Return a payment method; a token gets a payment method of its own."""
    return resolve(emulator, call.target)


def update(emulator: Emulator, call: Call) -> Json:
    """Change billing details, expiry or metadata of an attached payment method."""
    before = emulator.find(call.target, "pm")
    if before["customer"] is None:
        raise invalid(
            "You must save this PaymentMethod to a customer before you can update it.",
            code="payment_method_unactivated",
        )
    changes: Json = {}
    if call.params.get("billing_details"):
        changes["billing_details"] = _billing(call.params["billing_details"])
    if call.params.get("card"):
        changes["card"] = {**before["card"], **call.params["card"]}
    if "metadata" in call.params:
        changes["metadata"] = merge_metadata(before["metadata"], call.params["metadata"])
    after = emulator.change(before, **changes)
    emulator.emit("payment_method.updated", after, previous(before, after))
    return after


def list_all(emulator: Emulator, call: Call) -> Json:
    """List the payment methods of a customer, as Stripe requires one here."""
    if not call.params.get("customer"):
        return {"object": "list", "data": [], "has_more": False, "url": call.path}
    return page(emulator, call, "pm", equal(call.params, "customer", "type"))


def attach(emulator: Emulator, call: Call) -> Json:
    """Attach a payment method to a customer.

    Raises ApiError (400) when it is attached to another one.
    """
    customer = emulator.find(call.params["customer"], "cus", "customer")
    if "_deleted" in customer:
        raise missing("customer", customer["id"], "customer")
    return attach_to(emulator, resolve(emulator, call.target), customer["id"])


def attach_to(emulator: Emulator, method: Json, customer: str) -> Json:
    """Attach a payment method and say so in an event."""
    if method["customer"] not in (None, customer):
        raise invalid(
            "The payment method you provided has already been attached to a customer.",
            code="resource_already_exists",
            param="customer",
        )
    after = emulator.change(method, customer=customer)
    if method["customer"] is None:
        emulator.emit("payment_method.attached", after)
    return after


def detach(emulator: Emulator, call: Call) -> Json:
    """Detach a payment method, which can then never be used again."""
    before = emulator.find(call.target, "pm")
    if before["customer"] is None:
        message = "The payment method you provided is not attached to a customer so detachment is"
        raise invalid(f"{message} impossible.", code="resource_missing", param="payment_method")
    after = emulator.change(before, customer=None, _detached=True)
    emulator.emit("payment_method.detached", after, {"customer": before["customer"]})
    return after


def _card_error(code: str, message: str, param: str, decline_code: str | None = None) -> ApiError:
    error: Json = {"type": "card_error", "code": code, "message": message, "param": param}
    if decline_code is not None:
        error["decline_code"] = decline_code
    return ApiError(402, error)


def _read_card(emulator: Emulator, details: Json) -> tuple[TestCard, tuple[int, int]]:
    for name in ("number", "exp_month", "exp_year"):
        if details.get(name) is None:
            param = f"card[{name}]"
            raise invalid(
                f"Missing required param: {param}.", code="parameter_missing", param=param
            )
    number = details["number"].replace(" ", "").replace("-", "")
    if not (number.isascii() and number.isdigit() and passes_luhn(number)):
        raise _card_error("incorrect_number", "Your card number is incorrect.", "number")
    month, year = details["exp_month"], details["exp_year"]
    if not 1 <= month <= 12:
        message = "Your card's expiration month is invalid."
        raise _card_error("invalid_expiry_month", message, "exp_month")
    year = year + 2000 if year < 100 else year
    today = datetime.fromtimestamp(emulator.now(), UTC)
    if (year, month) < (today.year, today.month):
        message = "Your card's expiration year is invalid."
        raise _card_error("invalid_expiry_year", message, "exp_year")
    cvc = details.get("cvc")
    if cvc is not None and not (cvc.isdigit() and len(cvc) in (3, 4)):
        raise _card_error("invalid_cvc", "Your card's security code is invalid.", "cvc")
    card = BY_NUMBER.get(number)
    if card is None:
        message = "Your card was declined. Your request was in test mode, but used a non test"
        message += " (live) card. For a list of valid test cards, visit:"
        message += " https://docs.stripe.com/testing."
        raise _card_error("card_declined", message, "number", "test_mode_live_card")
    return card, (month, year)


def _billing(given: Json | None) -> Json:
    given = given or {}
    address = {field.name: (given.get("address") or {}).get(field.name) for field in _ADDRESS}
    names = ("email", "name", "phone", "tax_id")
    return {"address": address, **{name: given.get(name) for name in names}}


def _build(
    emulator: Emulator,
    card: TestCard,
    expiry: tuple[int, int],
    params: dict[str, Any],
    has_code: bool,
) -> Json:
    return {
        "id": new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": params.get("allow_redisplay") or "unspecified",
        "billing_details": _billing(params.get("billing_details")),
        "card": _card(card, expiry, has_code),
        "created": emulator.now(),
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": merge_metadata({}, params.get("metadata")),
        "type": "card",
        "_number": card.number,
    }


def _card(card: TestCard, expiry: tuple[int, int], has_code: bool) -> Json:
    digest = hashlib.sha256(card.number.encode()).hexdigest()
    return {
        "brand": card.brand,
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": card.cvc_check if has_code else None,
        },
        "country": card.country,
        "display_brand": card.brand,
        "exp_month": expiry[0],
        "exp_year": expiry[1],
        "fingerprint": digest[:16],
        "funding": card.funding,
        "generated_from": None,
        "last4": card.number[-4:],
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": card.three_d_secure != "unsupported"},
        "wallet": None,
    }


_BASE = "/v1/payment_methods"
ROUTES = (
    Route("POST", _BASE, create, (*DATA, *EXPAND), publishable=True),
    Route("GET", _BASE, list_all, (*PAGE, *text("customer", "type"))),
    Route("GET", _BASE + "/{id}", retrieve, EXPAND),
    Route(
        "POST",
        _BASE + "/{id}",
        update,
        (*_BILLING, *METADATA, *EXPAND, *hashed("card", integer("exp_month", "exp_year"))),
    ),
    Route("POST", _BASE + "/{id}/attach", attach, (*required(text("customer")), *EXPAND)),
    Route("POST", _BASE + "/{id}/detach", detach, EXPAND),
)
