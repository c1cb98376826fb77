"""Refunds (https://docs.stripe.com/api/refunds)."""

from __future__ import annotations

from .. import refunding
from ..core import Call, Emulator, Route, previous
from ..errors import invalid
from ..params import (
    CREATED,
    EXPAND,
    METADATA,
    PAGE,
    enum,
    integer,
    merge_metadata,
    text,
    unsupported,
)
from ..store import Json
from ..views import equal, page


def create(emulator: Emulator, call: Call) -> Json:
    """Refund a charge, or the charge of a payment intent.

    Raises ApiError (400) when neither is named, or when it cannot be refunded.
    """
    params = call.params
    if params.get("charge"):
        charge = emulator.find(params["charge"], "ch", "charge")
    elif params.get("payment_intent"):
        intent = emulator.find(params["payment_intent"], "pi", "payment_intent")
        if intent["latest_charge"] is None:
            message = f"This PaymentIntent ({intent['id']}) does not have a successful charge to"
            raise invalid(f"{message} refund.", param="payment_intent")
        charge = emulator.find(intent["latest_charge"], "ch")
    else:
        message = "One of the following params should be provided for this request: "
        raise invalid(f"{message}payment_intent or charge.", code="parameter_missing")
    row = refunding.refund(emulator, charge, params.get("amount"), params.get("reason"))
    row = emulator.change(row, metadata=merge_metadata({}, params.get("metadata")))
    refunding.announce(emulator, row)
    return row


def retrieve(emulator: Emulator, call: Call) -> Json:
    """Return a refund."""
    return emulator.find(call.target, "re")


def update(emulator: Emulator, call: Call) -> Json:
    """Change a refund's metadata, the only member that may change."""
    before = emulator.find(call.target, "re")
    if "metadata" not in call.params:
        return before
    metadata = merge_metadata(before["metadata"], call.params["metadata"])
    after = emulator.change(before, metadata=metadata)
    emulator.emit("refund.updated", after, previous(before, after))
    emulator.emit("charge.refund.updated", after, previous(before, after))
    return after


def list_all(emulator: Emulator, call: Call) -> Json:
    """List refunds, by charge or payment intent if given."""
    return page(emulator, call, "re", equal(call.params, "charge", "payment_intent"))


def list_of_charge(emulator: Emulator, call: Call) -> Json:
    """List the refunds of one charge."""
    charge = emulator.find(call.target, "ch", "charge")["id"]
    return page(emulator, call, "re", lambda row: row["charge"] == charge)


_BASE = "/v1/refunds"
ROUTES = (
    Route(
        "POST",
        _BASE,
        create,
        (
            *text("charge", "payment_intent"),
            *integer("amount"),
            *enum("reason", "duplicate", "fraudulent", "requested_by_customer"),
            *METADATA,
            *EXPAND,
            *unsupported("currency", "customer", "instructions_email", "origin"),
            *unsupported("refund_application_fee", "reverse_transfer"),
        ),
    ),
    Route("GET", _BASE, list_all, (*PAGE, *CREATED, *text("charge", "payment_intent"))),
    Route("GET", _BASE + "/{id}", retrieve, EXPAND),
    Route("POST", _BASE + "/{id}", update, (*METADATA, *EXPAND)),
    Route("GET", "/v1/charges/{id}/refunds", list_of_charge, PAGE),
)
