"""Captured orders by the ten thousand, written as the pipeline would have left them.

Rows are copied in, not walked through the stages: what is measured begins at ``captured``.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from eth_utils.address import to_checksum_address

TENANT = "tn_bench"
TOKEN_MINOR = 95_950_000
GROSS_MINOR = 10_000
_LINES = [["principal", 9_595], ["processing", 320], ["network", 36], ["spread", 49]]
_HISTORY = ("authorized", "cleared", "capturing", "captured")
_ORDER_COLUMNS = (
    *("id", "tenant_id", "status", "quote_id", "customer", "wallet", "network", "fiat"),
    *("fiat_scale", "gross_minor", "token", "token_scale", "token_minor", "lines"),
    *("client_secret", "created_at", "expires_at", "due_at", "payment_intent_id", "charge_id"),
    *("authorized_at", "metadata"),
)
_ENTRY_COLUMNS = (
    *("tenant_id", "source", "event", "line", "debit", "credit", "asset", "asset_scale"),
    *("amount_minor", "state", "created_at"),
)
_CHUNK = 10_000

# What the copied entries add up to; the vault's stock is booked by whoever fills the vault.
_ACCOUNT = """
    INSERT INTO ledger_accounts (tenant_id, code, asset, asset_scale, debits_posted,
        credits_posted, debits_pending, credits_pending, guarded)
    VALUES ($1, $2, $3, $4, 0, 0, 0, 0, $5) ON CONFLICT DO NOTHING
"""
_TOTALS = """
    UPDATE ledger_accounts SET debits_posted = debits_posted + $4,
        credits_posted = credits_posted + $5, debits_pending = debits_pending + $6,
        credits_pending = credits_pending + $7
    WHERE tenant_id = $1 AND code = $2 AND asset = $3
"""


async def fill(dsn: str, first: int, count: int) -> None:
    """``count`` captured orders, numbered from ``first``, each to a fresh wallet."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.set_type_codec(
            "jsonb", encoder=_jsonb, decoder=json.loads, schema="pg_catalog", format="binary"
        )
        now = datetime.now(UTC)
        for start in range(first, first + count, _CHUNK):
            numbers = range(start, min(start + _CHUNK, first + count))
            async with connection.transaction():
                await _copy(connection, numbers, now)
        await connection.execute("VACUUM ANALYZE orders, ledger_entries, order_events")
    finally:
        await connection.close()


def _jsonb(value: Any) -> bytes:
    return b"\x01" + json.dumps(value).encode()


async def _copy(connection: Any, numbers: range, now: datetime) -> None:
    await connection.copy_records_to_table(
        "orders", records=[_order(n, now) for n in numbers], columns=_ORDER_COLUMNS
    )
    await connection.copy_records_to_table(
        "order_events",
        records=list(_events(numbers, now)),
        columns=("order_id", "type", "data", "created_at"),
    )
    await connection.copy_records_to_table(
        "ledger_entries", records=list(_entries(numbers, now)), columns=_ENTRY_COLUMNS
    )
    usd, tokens = GROSS_MINOR * len(numbers), TOKEN_MINOR * len(numbers)
    for code, asset, scale, posted, pending in (
        ("stripe:receivable", "USD", 2, (usd, 0), (0, 0)),
        ("customer:payable", "USD", 2, (0, usd), (0, 0)),
        ("position", "local:DUSD", 6, (0, 0), (tokens, 0)),
        ("vault:inventory", "local:DUSD", 6, (0, 0), (0, tokens)),
    ):
        guarded = code == "vault:inventory"
        await connection.execute(_ACCOUNT, TENANT, code, asset, scale, guarded)
        await connection.execute(_TOTALS, TENANT, code, asset, *posted, *pending)


def order_id(number: int) -> str:
    return f"ord_{number:026d}"


def _order(number: int, now: datetime) -> tuple[Any, ...]:
    wallet = to_checksum_address((number + 1 << 64).to_bytes(20, "big"))
    return (
        *(order_id(number), TENANT, "captured", f"qt_{number:026d}", f"cus_{number % 1000}"),
        *(wallet, "local", "USD", 2, GROSS_MINOR, "DUSD", 6, TOKEN_MINOR, _LINES),
        *(f"secret_{number:060d}", now, now + timedelta(hours=1), now),
        *(f"pi_{number:024d}", f"ch_{number:024d}", now, {"cart": f"{number:012d}"}),
    )


def _events(numbers: range, now: datetime) -> Iterator[tuple[Any, ...]]:
    for number in numbers:
        for status in _HISTORY:
            yield order_id(number), f"order.{status}", {"from": "", "reason": None}, now


def _entries(numbers: range, now: datetime) -> Iterator[tuple[Any, ...]]:
    for number in numbers:
        source = order_id(number)
        hold = ("stripe:receivable", "customer:payable", "USD", 2, GROSS_MINOR, "posted", now)
        tokens = ("position", "vault:inventory", "local:DUSD", 6, TOKEN_MINOR, "pending", now)
        yield TENANT, source, "authorized", 0, *hold
        yield TENANT, source, "reserved", 0, *tokens
