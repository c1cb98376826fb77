"""The balance and its transactions (https://docs.stripe.com/api/balance)."""

from __future__ import annotations

from ..core import Call, Emulator, Route
from ..params import CREATED, EXPAND, PAGE, text, unsupported
from ..store import Json
from ..views import equal, page


def retrieve_balance(emulator: Emulator, _call: Call) -> Json:
    """Return what is available and what is pending, in minor units by currency."""
    sums: dict[str, list[int]] = {"usd": [0, 0]}
    for row in emulator.store.oldest_first("balance_transactions"):
        pending = row["available_on"] > emulator.now()
        sums.setdefault(row["currency"], [0, 0])[pending] += row["net"]
    return {
        "object": "balance",
        "available": [_amount(currency, pair[0]) for currency, pair in sums.items()],
        "connect_reserved": [{"amount": 0, "currency": currency} for currency in sums],
        "livemode": False,
        "pending": [_amount(currency, pair[1]) for currency, pair in sums.items()],
    }


def _amount(currency: str, amount_minor: int) -> Json:
    return {"amount": amount_minor, "currency": currency, "source_types": {"card": amount_minor}}


def retrieve(emulator: Emulator, call: Call) -> Json:
    """Return one balance transaction."""
    return emulator.find(call.target, "txn")


def list_all(emulator: Emulator, call: Call) -> Json:
    """List balance transactions, by source, type or currency if given."""
    return page(emulator, call, "txn", equal(call.params, "source", "type", "currency"))


_LIST = (*PAGE, *CREATED, *text("source", "type", "currency"), *unsupported("payout"))
ROUTES = (
    Route("GET", "/v1/balance", retrieve_balance, EXPAND),
    Route("GET", "/v1/balance_transactions", list_all, _LIST),
    Route("GET", "/v1/balance_transactions/{id}", retrieve, EXPAND),
)
