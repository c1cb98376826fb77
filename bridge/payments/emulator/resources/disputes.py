"""Disputes (https://docs.stripe.com/api/disputes)."""

from __future__ import annotations

from .. import disputing
from ..core import Call, Emulator, Route, previous
from ..errors import invalid
from ..params import CREATED, EXPAND, METADATA, PAGE, boolean, hashed, merge_metadata, text
from ..store import Json
from ..views import equal, page


def retrieve(emulator: Emulator, call: Call) -> Json:
    """Return a dispute."""
    return emulator.find(call.target, "du")


def update(emulator: Emulator, call: Call) -> Json:
    """Stage evidence and submit it, which Stripe does unless ``submit`` is false.

    Raises ApiError (400) when the dispute no longer takes evidence.
    """
    before, params = emulator.find(call.target, "du"), call.params
    evidence = params.get("evidence") or {}
    if evidence and not before["status"].endswith("needs_response"):
        raise invalid("This dispute is already closed.", code="dispute_already_closed")
    changes: Json = {}
    if evidence:
        changes["evidence"] = {**before["evidence"], **evidence}
        changes["evidence_details"] = {**before["evidence_details"], "has_evidence": True}
    if "metadata" in params:
        changes["metadata"] = merge_metadata(before["metadata"], params["metadata"])
    after = emulator.change(before, **changes)
    if evidence and params.get("submit", True):
        after = disputing.submit(emulator, after)
    emulator.emit("charge.dispute.updated", after, previous(before, after))
    return after


def close(emulator: Emulator, call: Call) -> Json:
    """Give the dispute up."""
    return disputing.close(emulator, emulator.find(call.target, "du"))


def list_all(emulator: Emulator, call: Call) -> Json:
    """List disputes, by charge or payment intent if given."""
    return page(emulator, call, "du", equal(call.params, "charge", "payment_intent"))


_BASE = "/v1/disputes"
ROUTES = (
    Route("GET", _BASE, list_all, (*PAGE, *CREATED, *text("charge", "payment_intent"))),
    Route("GET", _BASE + "/{id}", retrieve, EXPAND),
    Route(
        "POST",
        _BASE + "/{id}",
        update,
        (
            *hashed("evidence", text(*disputing.EVIDENCE)),
            *boolean("submit"),
            *METADATA,
            *EXPAND,
        ),
    ),
    Route("POST", _BASE + "/{id}/close", close, EXPAND),
)
