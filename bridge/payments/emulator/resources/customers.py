"""Customers (https://docs.stripe.com/api/customers)."""

from __future__ import annotations

from ..core import Call, Emulator, Route, previous
from ..errors import missing
from ..ids import new_id, random_text
from ..params import CREATED, EXPAND, METADATA, PAGE, hashed, merge_metadata, text, unsupported
from ..store import Json
from ..views import equal, page
from . import payment_methods

_ADDRESS = text("city", "country", "line1", "line2", "postal_code", "state")
SHIPPING = hashed(
    "shipping", hashed("address", _ADDRESS), text("name", "phone", "carrier", "tracking_number")
)
_FIELDS = (
    *text("description", "email", "name", "phone"),
    *hashed("address", _ADDRESS),
    *SHIPPING,
    *METADATA,
    *EXPAND,
    *unsupported("balance", "business_name", "individual_name", "invoice_prefix"),
    *unsupported("invoice_settings", "preferred_locales", "source", "tax", "tax_exempt"),
    *unsupported("cash_balance", "next_invoice_sequence"),
)
_COPIED = ("description", "email", "name", "phone", "address", "shipping")
_ADDRESS_EMPTY = {field.name: None for field in _ADDRESS}


def create(emulator: Emulator, call: Call) -> Json:
    """Create a customer, optionally with a payment method attached."""
    customer: Json = {
        "id": new_id("cus"),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": emulator.now(),
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": random_text(8).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": merge_metadata({}, call.params.get("metadata")),
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    emulator.add("cus", {**customer, **_given(call)})
    emulator.emit("customer.created", emulator.find(customer["id"], "cus"))
    if call.params.get("payment_method"):
        method = payment_methods.resolve(emulator, call.params["payment_method"])
        payment_methods.attach_to(emulator, method, customer["id"])
    return emulator.find(customer["id"], "cus")


def retrieve(emulator: Emulator, call: Call) -> Json:
    """Return a customer, or its tombstone."""
    return emulator.find(call.target, "cus")


def living(emulator: Emulator, customer: str, param: str = "id") -> Json:
    """Return a customer that is not deleted.

    Raises ApiError (404) when there is none.
    """
    row = emulator.find(customer, "cus", param)
    if "_deleted" in row:
        raise missing("customer", customer, param)
    return row


def update(emulator: Emulator, call: Call) -> Json:
    """Change the members given."""
    before = living(emulator, call.target)
    changes = _given(call)
    if "metadata" in call.params:
        changes["metadata"] = merge_metadata(before["metadata"], call.params["metadata"])
    after = emulator.change(before, **changes)
    if after != before:
        emulator.emit("customer.updated", after, previous(before, after))
    return after


def delete(emulator: Emulator, call: Call) -> Json:
    """Delete a customer; the tombstone can still be retrieved."""
    before = living(emulator, call.target)
    emulator.emit("customer.deleted", before)
    tombstone = {"id": before["id"], "object": "customer", "deleted": True, "created": 0}
    emulator.store.put("customers", before["id"], {**tombstone, "_deleted": True})
    return {"id": before["id"], "object": "customer", "deleted": True}


def list_all(emulator: Emulator, call: Call) -> Json:
    """List customers that are not deleted."""
    matches = equal(call.params, "email")
    return page(emulator, call, "cus", lambda row: "_deleted" not in row and matches(row))


def list_payment_methods(emulator: Emulator, call: Call) -> Json:
    """List what is attached to one customer."""
    customer = emulator.find(call.target, "cus", "customer")["id"]
    return page(emulator, call, "pm", lambda row: row["customer"] == customer)


def _given(call: Call) -> Json:
    given = {name: call.params[name] for name in _COPIED if name in call.params}
    if given.get("address"):
        given["address"] = {**_ADDRESS_EMPTY, **given["address"]}
    if given.get("shipping"):
        given["shipping"] = with_address(given["shipping"])
    return given


def with_address(shipping: Json) -> Json:
    """Return shipping details with every member of the address present."""
    return {**shipping, "address": {**_ADDRESS_EMPTY, **(shipping.get("address") or {})}}


ROUTES = (
    Route("POST", "/v1/customers", create, (*_FIELDS, *text("payment_method"))),
    Route("GET", "/v1/customers", list_all, (*PAGE, *CREATED, *text("email"))),
    Route("GET", "/v1/customers/{id}", retrieve, EXPAND),
    Route("POST", "/v1/customers/{id}", update, _FIELDS),
    Route("DELETE", "/v1/customers/{id}", delete),
    Route(
        "GET", "/v1/customers/{id}/payment_methods", list_payment_methods, (*PAGE, *text("type"))
    ),
)
