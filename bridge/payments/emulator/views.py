"""How objects leave: private members stripped, ids expanded on request, lists paged by cursor.

Sources: https://docs.stripe.com/api/expanding_objects, https://docs.stripe.com/api/pagination
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from .core import TABLES, Call, Emulator, public
from .errors import ApiError, invalid
from .store import Json

_EXPANDABLE: dict[str, frozenset[str]] = {
    "payment_intent": frozenset({"customer", "latest_charge", "payment_method"}),
    "charge": frozenset(
        {
            "balance_transaction",
            "customer",
            "failure_balance_transaction",
            "payment_intent",
            "refunds",
        }
    ),
    "refund": frozenset(
        {
            "balance_transaction",
            "charge",
            "failure_balance_transaction",
            "payment_intent",
            "payment_method",
        }
    ),
    "dispute": frozenset({"charge", "payment_intent"}),
    "payment_method": frozenset({"customer"}),
    "balance_transaction": frozenset({"source"}),
}
_EXPAND_DEPTH_MAX = 4
_PAGE_DEFAULT = 10
_PAGE_MAX = 100

# What Stripe.js gets to see of an intent (https://docs.stripe.com/js/payment_intents).
_CLIENT_MEMBERS = frozenset(
    {
        "id",
        "object",
        "amount",
        "amount_details",
        "automatic_payment_methods",
        "canceled_at",
        "cancellation_reason",
        "capture_method",
        "client_secret",
        "confirmation_method",
        "created",
        "currency",
        "description",
        "last_payment_error",
        "livemode",
        "next_action",
        "payment_method",
        "payment_method_types",
        "processing",
        "receipt_email",
        "setup_future_usage",
        "shipping",
        "status",
    }
)


def render(emulator: Emulator, call: Call, row: Json) -> Json:
    """Return the answer for an object or list, expanded as the call asked.

    Raises ApiError (400) for a property that cannot be expanded.
    """
    shown = _shown(emulator, row)
    for path in call.params.get("expand") or []:
        steps = path.split(".")
        if len(steps) > _EXPAND_DEPTH_MAX + (steps[0] == "data"):
            raise _not_expandable(path)
        _expand(emulator, shown, steps, path)
    if call.publishable and shown.get("object") == "payment_intent":
        return {name: value for name, value in shown.items() if name in _CLIENT_MEMBERS}
    return shown


def client_view(call: Call | None, error: ApiError) -> Json:
    """Return an error's members; a frontend sees its intent as Stripe.js does."""
    intent = error.error.get("payment_intent")
    if intent is None:
        return error.error
    shown = public(intent)
    if call is not None and call.publishable:
        shown = {name: value for name, value in shown.items() if name in _CLIENT_MEMBERS}
    return {**error.error, "payment_intent": shown}


def _shown(emulator: Emulator, row: Json) -> Json:
    shown = public(row)
    if row.get("object") == "list":
        shown["data"] = [_shown(emulator, item) for item in row["data"]]
    if row.get("object") == "balance_transaction":
        available = row["available_on"] <= emulator.now()
        shown["status"] = "available" if available else "pending"
    if row.get("object") == "event":
        deliveries = (emulator.store.get("deliveries", one) for one in row.get("_deliveries", ()))
        pending = [one for one in deliveries if one is not None and one["status"] == "pending"]
        shown["pending_webhooks"] = len(pending)
    if row.get("object") == "dispute":
        shown["balance_transactions"] = [
            _shown(emulator, transaction) for transaction in row["balance_transactions"]
        ]
    return shown


def _not_expandable(path: str) -> ApiError:
    return invalid(f"This property cannot be expanded ({path}).", param="expand")


def _expand(emulator: Emulator, shown: Any, steps: list[str], path: str) -> None:
    if not isinstance(shown, dict):
        return
    name, rest = steps[0], steps[1:]
    if shown.get("object") == "list" and name == "data":
        for item in shown["data"]:
            _expand(emulator, item, rest, path)
        return
    if name not in _EXPANDABLE.get(shown.get("object", ""), frozenset()):
        raise _not_expandable(path)
    if name == "refunds":
        shown[name] = refunds_of(emulator, shown["id"])
    elif isinstance(shown.get(name), str):
        prefix = shown[name].split("_")[0]
        shown[name] = _shown(emulator, emulator.find(shown[name], prefix))
    if rest:
        _expand(emulator, shown[name], rest, path)


def refunds_of(emulator: Emulator, charge_id: str) -> Json:
    """Return the refunds of a charge as the list that ``expand[]=refunds`` includes."""
    rows = [
        _shown(emulator, row)
        for row in emulator.store.newest_first("refunds")
        if row["charge"] == charge_id
    ]
    return {
        "object": "list",
        "data": rows[:_PAGE_DEFAULT],
        "has_more": len(rows) > _PAGE_DEFAULT,
        "url": f"/v1/charges/{charge_id}/refunds",
    }


def page(
    emulator: Emulator, call: Call, prefix: str, wanted: Callable[[Json], bool] = lambda _: True
) -> Json:
    """Return one page of a table, newest first.

    Raises ApiError (400) for a limit outside 1..100 or both cursors at once, and 404 for a cursor
    that does not exist.
    """
    params = call.params
    limit = params.get("limit", _PAGE_DEFAULT)
    if not 1 <= limit <= _PAGE_MAX:
        message = f"Limit must be between 1 and {_PAGE_MAX}"
        raise invalid(message, code="parameter_invalid_integer", param="limit")
    after, before = params.get("starting_after"), params.get("ending_before")
    if after and before:
        message = "You cannot parameterize both starting_after and ending_before."
        raise invalid(message, param="starting_after")
    for param, cursor in (("starting_after", after), ("ending_before", before)):
        if cursor:
            emulator.find(cursor, prefix, param)
    table = TABLES[prefix][0]
    rows = emulator.store.oldest_first(table) if before else emulator.store.newest_first(table)
    within = created_within(params.get("created"))
    matching = (row for row in _from(rows, after or before) if within(row) and wanted(row))
    found = list(islice(matching, limit + 1))
    data = found[:limit]
    return {
        "object": "list",
        "data": data[::-1] if before else data,
        "has_more": len(found) > limit,
        "url": call.path,
    }


def _from(rows: Iterable[Json], cursor: str | None) -> Iterable[Json]:
    passed = cursor is None
    for row in rows:
        if passed:
            yield row
        elif row["id"] == cursor:
            passed = True


def created_within(bounds: dict[str, int] | None) -> Callable[[Json], bool]:
    """Return the filter for ``created``, exact or by gt, gte, lt and lte."""
    limits = bounds or {}

    def within(row: Json) -> bool:
        created: int = row["created"]
        return (
            limits.get("eq", created) == created
            and created > limits.get("gt", created - 1)
            and created >= limits.get("gte", created)
            and created < limits.get("lt", created + 1)
            and created <= limits.get("lte", created)
        )

    return within


def equal(params: dict[str, Any], *names: str) -> Callable[[Json], bool]:
    """Return the filter by equality on the given parameters that are present."""
    wanted = {name: params[name] for name in names if params.get(name) is not None}
    return lambda row: all(row.get(name) == value for name, value in wanted.items())
