"""Reads of the API: other tenants' objects first, then pages, then what rows say."""

import hashlib
from datetime import UTC

import pytest

from bridge.storage.operations import append_audit_on
from bridge.storage.pages import Page
from bridge.storage.queries import Queries
from bridge.storage.records import KeyKind, Role
from bridge.storage.store import PostgresStore
from settlement.batch import BatchStatus
from settlement.errors import InvalidInput, InvariantBroken
from settlement.ledger.accounts import Account
from settlement.ledger.entry import EntryState
from settlement.limits import Limits
from settlement.order import Status
from settlement.ports.screening import Outcome, Reason, Subject, Verdict
from tests.support.builders import DUSD, NOW, USD, Scene, after, provider_event, signed, submit

OTHER = "ten_other"


@pytest.fixture
def scene(postgres_store: PostgresStore) -> Scene:
    """A tenant on an empty database."""
    return Scene(postgres_store)


@pytest.fixture
def queries(postgres_store: PostgresStore) -> Queries:
    """The reads over that database."""
    return Queries(postgres_store.pool)


async def test_another_tenant_sees_none_of_it(scene: Scene, queries: Queries) -> None:
    """Not by id, not in a list, not through a batch that pays both."""
    order = await scene.captured()
    lane = await scene.lane()
    batch = await scene.batch(lane, [order])
    await scene.store.plan(lane, batch, [submit(order)])
    verdict = Verdict(Outcome.CLEAR, (), {})
    screening_id = await scene.store.save_screening(Subject.of(order), verdict, NOW)
    assert await queries.quote(OTHER, order.quote_id) is None
    assert await queries.order(OTHER, order.id) is None
    assert await queries.order_events(OTHER, order.id) == []
    assert await queries.settlement(OTHER, batch.id) is None
    assert await queries.screening(OTHER, screening_id) is None
    for listing in (
        await queries.quotes(OTHER, Page()),
        await queries.orders(OTHER, Page()),
        await queries.settlements(OTHER, Page()),
        await queries.ledger_entries(OTHER, Page()),
    ):
        assert (listing.rows, listing.has_more) == ([], False)


@pytest.mark.parametrize("limit", [0, 101, -1])
def test_a_page_has_from_one_to_a_hundred_rows(limit: int) -> None:
    """Anything else names the parameter."""
    with pytest.raises(InvalidInput) as refusal:
        Page(limit=limit)
    assert refusal.value.param == "limit"


def test_a_page_goes_one_way() -> None:
    """Both cursors at once make no sense."""
    with pytest.raises(InvalidInput):
        Page(starting_after="a", ending_before="b")


@pytest.mark.parametrize("cursor", ["x", "-1", "1' OR true", "9" * 30, ""])
async def test_a_cursor_of_a_numbered_list_is_a_number(queries: Queries, cursor: str) -> None:
    """Refused before it reaches the database."""
    with pytest.raises(InvalidInput):
        await queries.ledger_entries("t", Page(starting_after=cursor))


async def test_pages_walk_down_and_up_without_gaps(scene: Scene, queries: Queries) -> None:
    """Newest first; ``has_more`` looks on in the direction of the request."""
    orders = [await scene.order() for _ in range(7)]
    newest_first = sorted((order.id for order in orders), reverse=True)

    async def ids(**cursor: str) -> tuple[list[str], bool]:
        found = await queries.orders(scene.tenant, Page(limit=3, **cursor))  # type: ignore[arg-type]
        return [order.id for order in found.rows], found.has_more

    assert await ids() == (newest_first[:3], True)
    assert await ids(starting_after=newest_first[2]) == (newest_first[3:6], True)
    assert await ids(starting_after=newest_first[5]) == (newest_first[6:], False)
    assert await ids(ending_before=newest_first[6]) == (newest_first[3:6], True)
    assert await ids(ending_before=newest_first[3]) == (newest_first[:3], False)
    assert await ids(ending_before=newest_first[0]) == ([], False)


async def test_orders_can_be_filtered(scene: Scene, queries: Queries) -> None:
    """By status and by the merchant's own customer reference."""
    paid = await scene.captured(customer="anna")
    await scene.order(customer="bert")
    by_status = await queries.orders(scene.tenant, Page(), status=Status.CAPTURED)
    by_customer = await queries.orders(scene.tenant, Page(), customer="anna")
    assert by_status.rows == by_customer.rows == [paid]
    assert await queries.counts_by_status() == {Status.CAPTURED: 1, Status.AWAITING_PAYMENT: 1}


async def test_a_settlement_shows_the_transaction_and_only_own_orders(
    scene: Scene, queries: Queries
) -> None:
    """One batch may pay orders of several tenants."""
    other = Scene(scene.store, tenant=OTHER)
    mine, theirs = await scene.captured(), await other.captured()
    lane = await scene.lane()
    batch = await scene.batch(lane, [mine, theirs])
    await scene.store.plan(lane, batch, [submit(mine), submit(theirs)])
    await scene.store.store_attempt(lane, batch, signed(7), NOW)
    [found] = (await queries.settlements(scene.tenant, Page())).rows
    assert found.order_ids == (mine.id,)
    assert (found.batch.status, found.batch.lane_address) == (BatchStatus.SIGNED, "0xlane")
    assert [attempt.transaction.ref for attempt in found.batch.attempts] == ["0xtx"]
    assert await queries.settlement(scene.tenant, batch.id) == found
    after_it = await queries.settlements(scene.tenant, Page(starting_after=str(batch.id)))
    assert after_it.rows == []


async def test_the_journal_can_be_read_entry_by_entry(scene: Scene, queries: Queries) -> None:
    """Newest first, by source, account and asset."""
    order = await scene.captured()
    every = (await queries.ledger_entries(scene.tenant, Page())).rows
    assert [entry.event for entry in every] == ["reserved", "authorized", "treasury_funded"]
    assert [entry.state for entry in every] == [
        EntryState.PENDING,
        EntryState.POSTED,
        EntryState.POSTED,
    ]
    of_order = await queries.ledger_entries(scene.tenant, Page(), source=order.id)
    assert of_order.rows == every[:2]
    vault = await queries.ledger_entries(
        scene.tenant, Page(), account=Account.VAULT, asset=DUSD, source=order.id
    )
    assert vault.rows == every[:1]
    assert (vault.rows[0].asset, vault.rows[0].amount_minor) == (DUSD, order.token.amount_minor)
    none = await queries.ledger_entries(scene.tenant, Page(), account=Account.VAULT, asset=USD)
    assert none.rows == []
    second = await queries.ledger_entries(
        scene.tenant, Page(limit=1, starting_after=str(every[0].id))
    )
    assert (second.rows, second.has_more) == ([every[1]], True)


async def test_what_a_customer_has_used_is_per_day_and_currency(
    scene: Scene, queries: Queries
) -> None:
    """Zero where nothing was taken."""
    await scene.order(customer="anna", gross_minor=1_234)
    day = NOW.astimezone(UTC).date()
    assert await queries.limit_used(scene.tenant, "anna", "USD", day) == 1_234
    assert await queries.limit_used(scene.tenant, "anna", "EUR", day) == 0
    assert await queries.limit_used(OTHER, "anna", "USD", day) == 0


async def test_a_screening_reads_back_as_it_was_judged(scene: Scene, queries: Queries) -> None:
    """Reasons, versions and every number of the evidence, as it was written."""
    order = await scene.order()
    verdict = Verdict(
        Outcome.BLOCK,
        (Reason("list.ofac", "named"),),
        {"ofac": "2026-01"},
        734_512,
        {"sources": {"local": 17}},
        {"z": [0.1 + 0.2, 1e22, -0.0, 5e-324], "a": {"wei": 10**30, "none": None}},
    )
    screening_id = await scene.store.save_screening(Subject.of(order), verdict, NOW)
    record = await queries.screening(scene.tenant, screening_id)
    assert record is not None
    assert (record.verdict, record.subject) == (verdict, Subject.of(order))
    assert record.verdict.digest == record.digest == verdict.digest


async def test_order_events_can_be_resumed_and_bounded(scene: Scene, queries: Queries) -> None:
    """After an id, at most so many."""
    order = await scene.captured()
    every = await queries.order_events(scene.tenant, order.id)
    assert [event.type for event in every][:2] == ["order.awaiting_payment", "order.authorized"]
    assert await queries.order_events(scene.tenant, order.id, every[1].id, 2) == every[2:4]


async def test_a_revoked_or_unknown_key_logs_nobody_in(scene: Scene, queries: Queries) -> None:
    """Revoked once, by its own tenant only."""
    tenant = await queries.create_tenant("Shop", livemode=False, limits={}, now=NOW)
    digest = hashlib.sha256(b"sk_test_1").digest()
    stored = await queries.create_key(
        tenant.id,
        key_hash=digest,
        prefix="sk_test",
        last4="st_1",
        kind=KeyKind.SECRET,
        role=Role.ADMIN,
        now=NOW,
    )
    assert await queries.login(hashlib.sha256(b"sk_test_2").digest()) is None
    assert await queries.revoke_key(scene.tenant, stored.id, NOW) is False
    assert await queries.login(digest) is not None
    assert await queries.revoke_key(tenant.id, stored.id, after(1)) is True
    assert await queries.revoke_key(tenant.id, stored.id, after(2)) is False
    assert await queries.login(digest) is None
    assert [known.revoked_at for known in await queries.keys(tenant.id)] == [after(1)]


async def test_a_key_itself_is_never_stored(queries: Queries) -> None:
    """Only a digest has the right length."""
    tenant = await queries.create_tenant("Shop", livemode=True, limits={}, now=NOW)
    with pytest.raises(InvalidInput):
        await queries.create_key(
            tenant.id,
            key_hash=b"sk_live_secret",
            prefix="sk_live",
            last4="cret",
            kind=KeyKind.SECRET,
            role=Role.ADMIN,
            now=NOW,
        )


async def test_a_login_answers_who_asks_and_their_bounds(queries: Queries) -> None:
    """One lookup: key, tenant, limits per currency."""
    limits = {"USD": Limits(100, 10**6, 10**40), "EUR": Limits(1, 2, 3)}
    tenant = await queries.create_tenant("Shop", livemode=False, limits=limits, now=NOW)
    await queries.set_limits(tenant.id, "EUR", Limits(4, 5, 6))
    stored = await queries.create_key(
        tenant.id,
        key_hash=hashlib.sha256(b"pk").digest(),
        prefix="pk_test",
        last4="abcd",
        kind=KeyKind.PUBLISHABLE,
        role=Role.MERCHANT,
        now=NOW,
        allowed_origins=["https://shop.example"],
        return_urls=["https://shop.example/back"],
    )
    login = await queries.login(hashlib.sha256(b"pk").digest())
    assert login is not None
    assert login.key == stored
    assert login.key.allowed_origins == ("https://shop.example",)
    assert login.tenant.limits == {"USD": limits["USD"], "EUR": Limits(4, 5, 6)}
    assert await queries.tenant(tenant.id) == login.tenant
    assert await queries.tenants() == [login.tenant]


async def test_dead_letters_show_why(scene: Scene, queries: Queries) -> None:
    """Oldest first, with the last error."""
    await scene.store.receive([provider_event("evt_1")], NOW)
    await scene.store.defer_inbox("evt_1", NOW, error="boom", dead=True)
    [letter] = await queries.dead_letters()
    assert (letter.event.id, letter.attempts, letter.error) == ("evt_1", 1, "boom")


async def test_the_audit_log_keeps_who_did_what(scene: Scene, queries: Queries) -> None:
    """Per tenant, or everybody's; it cannot be rewritten."""
    what = {"actor": "key_1", "action": "key.revoked", "object_id": "key_2", "now": NOW}
    pool, data = scene.store.pool, {"why": "lost"}
    first = await append_audit_on(pool, **what, tenant_id=scene.tenant, data=data)  # type: ignore[arg-type]
    second = await append_audit_on(pool, **what)  # type: ignore[arg-type]
    with pytest.raises(InvariantBroken, match=r"key\.lost"):
        await append_audit_on(pool, **{**what, "action": "key.lost"})  # type: ignore[arg-type]
    own = (await queries.audit_log(scene.tenant, Page())).rows
    assert [(record.id, record.data) for record in own] == [(first, {"why": "lost"})]
    every = (await queries.audit_log(None, Page())).rows
    assert [record.id for record in every] == [second, first]
    with pytest.raises(Exception, match="is refused"):
        await scene.store.pool.execute("DELETE FROM audit_log")


async def test_old_idempotency_keys_are_forgotten_and_money_stays_guarded(
    scene: Scene, queries: Queries
) -> None:
    """A quote makes one order, key or no key."""
    order = await scene.order()
    assert await queries.forget_idempotency_keys(NOW) == 0
    assert await queries.forget_idempotency_keys(after(1)) == 2
    assert await queries.order(scene.tenant, order.id) == order
