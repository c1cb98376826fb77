"""The database's own refusals, for whoever writes around the store."""

from typing import Any

import asyncpg
import pytest

from bridge.storage.store import PostgresStore
from settlement.errors import InvalidInput
from settlement.ledger import journal
from settlement.order import Status
from settlement.transitions import move
from tests.support.builders import AMPLE, NOW, Scene, key, provider_event, submit


async def refused(store: PostgresStore, statement: str, *values: Any) -> str:
    """Run what must fail; returns the error's message."""
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as error:
        await store.pool.execute(statement, *values)
    return str(error.value)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_entries SET amount_minor = 1",
        "UPDATE ledger_entries SET debit = 'hot_wallet' WHERE state = 'pending'",
        "UPDATE ledger_entries SET state = 'posted', amount_minor = 1 WHERE state = 'pending'",
        "UPDATE ledger_entries SET state = 'pending'",
        "UPDATE ledger_entries SET state = 'voided' WHERE state = 'posted'",
        "DELETE FROM ledger_entries",
        "UPDATE order_events SET type = 'order.completed'",
        "DELETE FROM order_events",
    ],
)
async def test_what_is_written_down_stays_written_down(
    postgres_store: PostgresStore, statement: str
) -> None:
    """Entries and events are corrected by new ones."""
    scene = Scene(postgres_store)
    await scene.captured()
    order = await scene.order()
    await scene.apply(
        move(
            order,
            Status.AUTHORIZED,
            NOW,
            bookings=(journal.authorized(order),),
            under_lease=False,
        )
    )
    assert "is refused" in await refused(postgres_store, statement)


async def test_a_pending_entry_may_be_resolved(postgres_store: PostgresStore) -> None:
    """The one change that the trigger lets through."""
    scene = Scene(postgres_store)
    order = await scene.order()
    booking = journal.authorized(order)
    await scene.apply(move(order, Status.AUTHORIZED, NOW, bookings=(booking,), under_lease=False))
    done = await postgres_store.pool.execute("UPDATE ledger_entries SET state = 'voided'")
    assert done == "UPDATE 1"


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("amount_minor = 0", "ledger_entries_positive"),
        ("credit = debit", "ledger_entries_two_sides"),
        ("state = 'maybe'", "ledger_entries_state"),
    ],
)
async def test_an_entry_that_is_none_cannot_be_written(
    postgres_store: PostgresStore, change: str, constraint: str
) -> None:
    """Positive, two-sided, in a known state."""
    scene = Scene(postgres_store)
    await scene.fund(5)
    column, value = change.split(" = ")
    columns = "source, event, line, debit, credit, asset, asset_scale, amount_minor, state"
    values = (
        columns.replace(column, value, 1)
        if column != "credit"
        else columns.replace("credit", "debit", 1)
    )
    statement = f"""
        INSERT INTO ledger_entries (tenant_id, created_at, {columns})
        SELECT tenant_id, created_at, {values.replace("event", "'other'", 1)} FROM ledger_entries
    """
    assert constraint in await refused(postgres_store, statement)


@pytest.mark.parametrize(
    ("assignment", "constraint"),
    [
        ("status = 'lost'", "orders_status"),
        ("hold_reason = 'mood'", "orders_hold_reason"),
        ("exit_to = 'completed'", "orders_exit_to"),
        ("gross_minor = 0", "orders_positive"),
        ("batch_id = 3", "orders_batch_has_index"),
        ("payment_intent_id = 'pi_same'", "orders_one_per_intent"),
        ("refund_id = 're_same'", "orders_one_per_refund"),
        ("batch_id = 1, batch_index = 0", "orders_one_per_place"),
        ("quote_id = 'quo_same'", "orders_one_per_quote"),
    ],
)
async def test_an_order_cannot_become_what_the_core_does_not_know(
    postgres_store: PostgresStore, assignment: str, constraint: str
) -> None:
    """Known words, positive amounts, one quote, intent, refund and place each."""
    scene = Scene(postgres_store)
    await scene.order()
    await scene.order()
    assert constraint in await refused(postgres_store, f"UPDATE orders SET {assignment}")


async def test_a_customer_cannot_have_used_more_than_the_cap(
    postgres_store: PostgresStore,
) -> None:
    """The counter's CHECK is what decides between two racing orders."""
    await Scene(postgres_store).order()
    statement = "UPDATE limit_usage SET cap = used - 1"
    assert "limit_usage_within_cap" in await refused(postgres_store, statement)


async def test_a_guarded_account_cannot_give_out_more_than_it_has(
    postgres_store: PostgresStore,
) -> None:
    """Pending included."""
    await Scene(postgres_store).fund(5)
    statement = "UPDATE ledger_accounts SET credits_pending = 6 WHERE guarded"
    assert "ledger_accounts_guard" in await refused(postgres_store, statement)


@pytest.mark.parametrize("text", ["a\0b", "half a pair \ud83d"])
async def test_text_that_cannot_be_stored_is_the_callers_mistake(
    postgres_store: PostgresStore, text: str
) -> None:
    """In the customer's name as in the metadata; the quote stays free."""
    scene = Scene(postgres_store)
    quote = await scene.saved_quote()
    for change in ({"customer": text}, {"metadata": {"note": text}}):
        with pytest.raises(InvalidInput):
            await postgres_store.accept(scene.command(quote, **change), AMPLE, key(), NOW)
    assert await postgres_store.accept(scene.command(quote), AMPLE, key(), NOW)


async def test_a_providers_odd_characters_do_not_keep_its_event_out(
    postgres_store: PostgresStore,
) -> None:
    """Stored with a replacement character: the event is a hint, its text is not evidence."""
    body = {"name": "a\0b", "list": ["\ud83d", 1], "escaped": "\\u0000"}
    event = provider_event("evt_1", body=body, order_id="ord\0")
    assert await postgres_store.receive([event], NOW) == 1
    [item] = await postgres_store.claim_inbox(NOW, limit=1, lease_ms=1)
    assert item.event.body == {"name": "a\ufffdb", "list": ["?", 1], "escaped": "\\u0000"}
    assert item.event.order_id == "ord\ufffd"


@pytest.mark.parametrize("assignment", ["kind = 'single'", "value = 1"])
async def test_a_batch_carries_coins_if_and_only_if_it_is_a_single(
    postgres_store: PostgresStore, assignment: str
) -> None:
    """What a lane sends beside the gas is one order's."""
    scene = Scene(postgres_store)
    lane, order = await scene.lane(), await scene.captured()
    await postgres_store.plan(lane, await scene.batch(lane, [order]), [submit(order)])
    assert "batches_single" in await refused(postgres_store, f"UPDATE batches SET {assignment}")
