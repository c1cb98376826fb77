"""Whatever happens in whatever order: the books balance, and totals are the sum of entries."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.storage.memory import MemoryStore
from bridge.storage.store import PostgresStore
from settlement.errors import InsufficientInventory
from settlement.ledger import journal
from settlement.ledger.accounts import Account
from settlement.ledger.entry import Booking
from settlement.order import Order, Status
from settlement.transitions import EXITS, ON_RAMP, Change, move
from tests.support.builders import DUSD, NOW, Scene

S = Status


@dataclass(frozen=True)
class Step:
    """Which order, which of the possible next statuses, and whether its news is stale."""

    order: int
    edge: int
    stale: bool


STEPS = st.lists(
    st.lists(st.builds(Step, st.integers(0, 3), st.integers(0, 3), st.booleans()), max_size=4),
    max_size=12,
)


def books(order: Order, to: Status) -> tuple[Booking, ...]:
    """What the journal says about the edge, roughly as the stages use it."""
    edge = (order.status, to)
    if edge == (S.AWAITING_PAYMENT, S.AUTHORIZED):
        return (journal.authorized(order),)
    if edge == (S.CLEARED, S.CAPTURING):
        return (journal.reserved(order),)
    if to is S.CAPTURED:
        return (journal.captured(order),)
    if to is S.COMPLETED:
        return (journal.completed(order),)
    if to in EXITS:
        return (journal.voided(order), journal.unreserved(order))
    if to is S.REFUND_PENDING:
        return (journal.unreserved(order),)
    if to is S.REFUNDED:
        return (journal.refunded(order),)
    return ()


def change_of(order: Order, step: Step) -> Change | None:
    edges = sorted(ON_RAMP[order.status])
    if not edges:
        return None
    to = edges[step.edge % len(edges)]
    change = move(order, to, NOW, bookings=books(order, to), gives_back_limit=to in EXITS)
    epoch = order.epoch + 1 if step.stale else None
    return Change(order, to, epoch, NOW, change.patch, change.bookings, change.events, to in EXITS)


async def run(scene: Scene, rounds: list[list[Step]]) -> None:
    """Four orders, tokens for two; every round is one ``apply_many``."""
    orders = [await scene.order() for _ in range(4)]
    await scene.fund(2 * orders[0].token.amount_minor)
    for steps in rounds:
        changes: dict[int, Change] = {}
        for step in steps:
            change = change_of(orders[step.order], step)
            if change is not None:
                changes[step.order] = change
        stale = [change for change in changes.values() if change.epoch is not None]
        try:
            assert await scene.store.apply_many(list(changes.values())) == stale
        except InsufficientInventory:
            assert any(change.to is S.CAPTURING for change in changes.values())
        stored = [await scene.store.get(order.id) for order in orders]
        orders = [order for order in stored if order is not None]
        await check(scene)


async def check(scene: Scene) -> None:
    balances = await scene.store.balances(scene.tenant)
    for state in ("posted", "pending"):
        total: dict[str, int] = defaultdict(int)
        for balance in balances:
            debits = getattr(balance, f"debits_{state}")
            credits_ = getattr(balance, f"credits_{state}")
            assert debits >= 0
            assert credits_ >= 0
            total[balance.asset.id] += debits - credits_
        assert set(total.values()) <= {0}, f"{state} does not balance: {dict(total)}"
    pair = (scene.tenant, DUSD)
    assert (await scene.store.available([pair]))[pair] >= 0
    await check_totals_are_the_sum_of_entries(scene, balances)


async def check_totals_are_the_sum_of_entries(scene: Scene, balances: list[Any]) -> None:
    if not isinstance(scene.store, PostgresStore):
        return
    rows = await scene.store.pool.fetch(
        """
        SELECT code, asset, side, state, sum(amount_minor) AS total
        FROM (SELECT debit AS code, 'debits' AS side, * FROM ledger_entries
              UNION ALL SELECT credit, 'credits', * FROM ledger_entries) entry
        WHERE tenant_id = $1 AND state <> 'voided'
        GROUP BY code, asset, side, state
        """,
        scene.tenant,
    )
    sums = {(r["code"], r["asset"], f"{r['side']}_{r['state']}"): int(r["total"]) for r in rows}
    for balance in balances:
        for column in ("debits_posted", "credits_posted", "debits_pending", "credits_pending"):
            name = (balance.account.value, balance.asset.id, column)
            assert getattr(balance, column) == sums.get(name, 0), name


@settings(max_examples=60, deadline=None)
@given(rounds=STEPS)
async def test_the_books_balance_in_memory_after_any_sequence_of_changes(
    rounds: list[list[Step]],
) -> None:
    """Trial balance zero per asset, posted and pending; inventory never negative."""
    await run(Scene(MemoryStore()), rounds)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rounds=STEPS)
async def test_the_books_balance_in_postgresql_after_any_sequence_of_changes(
    module_store: PostgresStore, rounds: list[list[Step]]
) -> None:
    """The same, and every running total is the sum of its entries."""
    await run(Scene(module_store), rounds)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rounds=STEPS)
async def test_both_stores_reach_the_same_statuses_and_balances(
    module_store: PostgresStore, rounds: list[list[Step]]
) -> None:
    """The fake is a fake of this store and of no other."""
    scenes = (Scene(MemoryStore()), Scene(module_store))
    results = []
    for scene in scenes:
        await run(scene, rounds)
        balances = await scene.store.balances(scene.tenant)
        results.append({(b.account, b.asset): b for b in balances if _touched(b)})
    assert results[0] == results[1]


def _touched(balance: Any) -> bool:
    return any(
        (
            balance.debits_posted,
            balance.credits_posted,
            balance.debits_pending,
            balance.credits_pending,
        )
    )


async def test_the_check_itself_notices_an_unbalanced_book(module_store: PostgresStore) -> None:
    """A total changed behind the store's back fails the check above."""
    scene = Scene(module_store)
    await scene.fund(10)
    await check(scene)
    await module_store.pool.execute(
        "UPDATE ledger_accounts SET debits_posted = 11 WHERE tenant_id = $1 AND code = $2",
        scene.tenant,
        Account.VAULT.value,
    )
    with pytest.raises(AssertionError):
        await check(scene)
