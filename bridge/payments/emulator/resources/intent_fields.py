"""What a payment intent consists of: the parameters it takes and the object it starts as.

Source: https://docs.stripe.com/api/payment_intents/object
"""

from __future__ import annotations

from typing import Any

from ..core import Emulator
from ..errors import invalid
from ..ids import client_secret, new_id
from ..params import (
    EXPAND,
    METADATA,
    boolean,
    enum,
    hashed,
    integer,
    listed,
    merge_metadata,
    required,
    text,
    unsupported,
)
from ..store import Json
from . import payment_methods
from .customers import SHIPPING, living, with_address

_AMOUNT_MAX = 99_999_999
# https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts
_AMOUNT_MIN = {"usd": 50, "eur": 50, "gbp": 30, "jpy": 50, "chf": 50, "cad": 50, "aud": 50}

_OPTIONS = hashed(
    "payment_method_options",
    hashed(
        "card",
        enum("request_three_d_secure", "automatic", "any", "challenge"),
        enum("capture_method", "manual"),
    ),
)
_SHARED = (
    *text("description", "receipt_email", "statement_descriptor", "statement_descriptor_suffix"),
    *text("payment_method"),
    *hashed("payment_method_data", payment_methods.DATA),
    *enum("capture_method", "automatic", "automatic_async", "manual"),
    *enum("setup_future_usage", "off_session", "on_session"),
    *listed("payment_method_types", "excluded_payment_method_types"),
    *_OPTIONS,
    *SHIPPING,
    *EXPAND,
)
_CONFIRMING = (
    *boolean("error_on_requires_action", "use_stripe_sdk", "off_session"),
    *text("return_url"),
    *unsupported("confirmation_token", "mandate", "mandate_data", "radar_options"),
)
_ELSEWHERE = unsupported(
    "allowed_payment_method_types",
    "amount_details",
    "application_fee_amount",
    "customer_account",
    "hooks",
    "payment_details",
    "payment_method_configuration",
    "transfer_data",
    "transfer_group",
)
CREATE = (
    *required(integer("amount")),
    *required(text("currency")),
    *text("customer"),
    *boolean("confirm"),
    *enum("confirmation_method", "automatic", "manual"),
    *hashed(
        "automatic_payment_methods",
        boolean("enabled"),
        enum("allow_redirects", "always", "never"),
    ),
    *METADATA,
    *_SHARED,
    *_CONFIRMING,
    *_ELSEWHERE,
    *unsupported("on_behalf_of"),
)
UPDATE = (*integer("amount"), *text("currency", "customer"), *METADATA, *_SHARED, *_ELSEWHERE)
CONFIRM = (
    *text("client_secret", "receipt_email", "payment_method"),
    *hashed("payment_method_data", payment_methods.DATA),
    *enum("capture_method", "automatic", "automatic_async", "manual"),
    *enum("setup_future_usage", "off_session", "on_session"),
    *listed("payment_method_types"),
    *_OPTIONS,
    *SHIPPING,
    *EXPAND,
    *_CONFIRMING,
)
CAPTURE = (
    *integer("amount_to_capture"),
    *boolean("final_capture"),
    *text("statement_descriptor", "statement_descriptor_suffix"),
    *METADATA,
    *EXPAND,
    *unsupported("application_fee_amount", "transfer_data", "amount_details", "hooks"),
)
REASONS = ("duplicate", "fraudulent", "requested_by_customer", "abandoned")
_COPIED = (
    "description",
    "receipt_email",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "setup_future_usage",
    "excluded_payment_method_types",
)

_ABSENT_AT_FIRST = (
    "application",
    "application_fee_amount",
    "canceled_at",
    "cancellation_reason",
    "customer_account",
    "description",
    "excluded_payment_method_types",
    "last_payment_error",
    "latest_charge",
    "managed_payments",
    "next_action",
    "on_behalf_of",
    "payment_method",
    "payment_method_configuration_details",
    "processing",
    "receipt_email",
    "review",
    "setup_future_usage",
    "shipping",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_data",
    "transfer_group",
)


def check_amount(amount: int, currency: str) -> None:
    """Refuse what cannot be charged; ``amount`` is in minor units.

    Raises ApiError (400) with Stripe's codes for too small, too large and malformed.
    """
    if len(currency) != 3 or not currency.isascii() or not currency.isalpha():
        raise invalid(f"Invalid currency: {currency}.", param="currency")
    if amount < 1:
        message = "This value must be greater than or equal to 1."
        raise invalid(message, code="parameter_invalid_integer", param="amount")
    if amount < _AMOUNT_MIN.get(currency, 1):
        message = "Amount must convert to at least 50 cents."
        raise invalid(message, code="amount_too_small", param="amount")
    if amount > _AMOUNT_MAX:
        message = f"Amount must be no more than {_AMOUNT_MAX}."
        raise invalid(message, code="amount_too_large", param="amount")


def given_members(params: dict[str, Any]) -> Json:
    """Return the members of an intent that a request sets.

    Raises ApiError (400) for a payment method type other than card.
    """
    given = {name: params[name] for name in _COPIED if name in params}
    if params.get("capture_method"):
        given["capture_method"] = params["capture_method"]
    if params.get("shipping"):
        given["shipping"] = with_address(params["shipping"])
    if params.get("payment_method_types"):
        types = params["payment_method_types"]
        if types != ["card"]:
            message = "The local emulator offers only the payment method type card."
            raise invalid(message, param="payment_method_types")
        given |= {"payment_method_types": types, "automatic_payment_methods": None}
    card = (params.get("payment_method_options") or {}).get("card")
    if card:
        given["payment_method_options"] = _card_options(card)
        if card.get("capture_method"):
            given["capture_method"] = "manual"
    return given


def _card_options(card: Json) -> Json:
    asked = card.get("request_three_d_secure") or "automatic"
    options = {"installments": None, "mandate_options": None, "network": None}
    return {"card": {**options, "request_three_d_secure": asked}}


def new_intent(emulator: Emulator, params: dict[str, Any], currency: str) -> Json:
    """Return an intent in ``requires_payment_method`` (or with what the request already sets).

    Raises ApiError (404) for an unknown customer.
    """
    if params.get("customer"):
        living(emulator, params["customer"], "customer")
    automatic = params.get("automatic_payment_methods") or {"enabled": True}
    redirects = automatic.get("allow_redirects") or "always"
    intent_id = new_id("pi")
    intent: Json = {
        "id": intent_id,
        "object": "payment_intent",
        **dict.fromkeys(_ABSENT_AT_FIRST),
        "amount": params["amount"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "automatic_payment_methods": {"allow_redirects": redirects, "enabled": True}
        if automatic.get("enabled")
        else None,
        "capture_method": "automatic_async",
        "client_secret": client_secret(intent_id),
        "confirmation_method": params.get("confirmation_method") or "automatic",
        "created": emulator.now(),
        "currency": currency,
        "customer": params.get("customer"),
        "livemode": False,
        "metadata": merge_metadata({}, params.get("metadata")),
        "payment_method_options": _card_options({}),
        "payment_method_types": ["card"],
        "status": "requires_payment_method",
    }
    return {**intent, **given_members(params)}
