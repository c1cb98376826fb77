"""Charges (https://docs.stripe.com/api/charges): read here, made by payment intents."""

from __future__ import annotations

from typing import Any

from ..core import Call, Emulator, Route, previous
from ..params import CREATED, EXPAND, METADATA, PAGE, enum, hashed, merge_metadata, text
from ..store import Json
from ..views import equal, page
from .customers import SHIPPING, with_address


def retrieve(emulator: Emulator, call: Call) -> Json:
    """Return a charge."""
    return emulator.find(call.target, "ch")


def update(emulator: Emulator, call: Call) -> Json:
    """Change a charge's descriptive members."""
    before, params = emulator.find(call.target, "ch"), call.params
    names = ("description", "receipt_email", "fraud_details")
    changes: dict[str, Any] = {name: params[name] for name in names if name in params}
    if params.get("shipping"):
        changes["shipping"] = with_address(params["shipping"])
    if "metadata" in params:
        changes["metadata"] = merge_metadata(before["metadata"], params["metadata"])
    after = emulator.change(before, **changes)
    emulator.emit("charge.updated", after, previous(before, after))
    return after


def list_all(emulator: Emulator, call: Call) -> Json:
    """List charges, by payment intent or customer if given."""
    return page(emulator, call, "ch", equal(call.params, "payment_intent", "customer"))


ROUTES = (
    Route(
        "GET",
        "/v1/charges",
        list_all,
        (*PAGE, *CREATED, *text("payment_intent", "customer")),
    ),
    Route("GET", "/v1/charges/{id}", retrieve, EXPAND),
    Route(
        "POST",
        "/v1/charges/{id}",
        update,
        (
            *text("description", "receipt_email"),
            *hashed("fraud_details", enum("user_report", "fraudulent", "safe")),
            *SHIPPING,
            *METADATA,
            *EXPAND,
        ),
    ),
)
