"""Events (https://docs.stripe.com/api/events): the record from which lost webhooks are made up."""

from __future__ import annotations

from ..core import Call, Emulator, Route
from ..errors import invalid
from ..params import CREATED, EXPAND, PAGE, boolean, listed, text
from ..store import Json
from ..views import page


def retrieve(emulator: Emulator, call: Call) -> Json:
    """Return an event, with its object as it was then."""
    return emulator.find(call.target, "evt")


def list_all(emulator: Emulator, call: Call) -> Json:
    """List events by type (``charge.*`` allowed), types, or success of delivery.

    Raises ApiError (400) when both ``type`` and ``types`` are given.
    """
    params = call.params
    kinds = params.get("types") or ([params["type"]] if params.get("type") else [])
    if params.get("type") and params.get("types"):
        raise invalid("You may not pass both `type` and `types`.", param="types")
    success = params.get("delivery_success")
    undelivered: set[str] = set()
    if success is not None:
        undelivered = {
            row["event"]
            for row in emulator.store.oldest_first("deliveries")
            if row["status"] != "succeeded"
        }
    return page(
        emulator,
        call,
        "evt",
        lambda row: (
            (not kinds or any(_matches(row["type"], kind) for kind in kinds))
            and (success is None or success == (row["id"] not in undelivered))
        ),
    )


def _matches(kind: str, wanted: str) -> bool:
    if wanted.endswith("*"):
        return kind.startswith(wanted[:-1])
    return kind == wanted


ROUTES = (
    Route(
        "GET",
        "/v1/events",
        list_all,
        (*PAGE, *CREATED, *text("type"), *listed("types"), *boolean("delivery_success")),
    ),
    Route("GET", "/v1/events/{id}", retrieve, EXPAND),
)
