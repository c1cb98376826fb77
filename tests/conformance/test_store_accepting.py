"""Accepting, over both stores: what is refused, then what is durable."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from settlement.errors import (
    IdempotencyMismatch,
    InvalidAddress,
    LimitExceeded,
    NotCancelable,
    NotFound,
    QuoteExpired,
    QuoteUsed,
)
from settlement.limits import Limits
from settlement.order import Order, Status
from settlement.transitions import move, void
from tests.support.builders import AMPLE, NOW, USD, Scene, after, key

TIGHT = Limits(100, 10**9, 25_000)


async def test_an_unknown_quote_makes_no_order(scene: Scene) -> None:
    """NotFound, and the key stays free."""
    quote = scene.quote()
    with pytest.raises(NotFound):
        await scene.store.accept(scene.command(quote), AMPLE, key("k"), NOW)
    stored = await scene.saved_quote()
    assert await scene.store.accept(scene.command(stored), AMPLE, key("k"), NOW)


async def test_another_tenants_quote_does_not_exist(scene: Scene) -> None:
    """A quote is looked up under the caller's tenant only."""
    quote = await scene.saved_quote()
    command = scene.command(quote, tenant_id="ten_other")
    with pytest.raises(NotFound):
        await scene.store.accept(command, AMPLE, key(), NOW)


async def test_a_quote_for_another_network_is_refused(scene: Scene) -> None:
    """The wallet was checked against a network that the quote is not for."""
    quote = await scene.saved_quote()
    with pytest.raises(InvalidAddress) as refusal:
        await scene.store.accept(scene.command(quote, network="base"), AMPLE, key(), NOW)
    assert refusal.value.param == "wallet"


async def test_an_expired_quote_is_refused_at_its_very_moment(scene: Scene) -> None:
    """``expires_at`` itself is too late."""
    quote = await scene.saved_quote()
    with pytest.raises(QuoteExpired):
        await scene.store.accept(scene.command(quote), AMPLE, key(), quote.expires_at)


async def test_a_quote_used_twice_at_once_makes_one_order(scene: Scene) -> None:
    """Ten requests, ten keys, one order; the customer's counter rose once."""
    quote = await scene.saved_quote()
    tries = [scene.store.accept(scene.command(quote), AMPLE, key(), NOW) for _ in range(10)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(answer, Order) for answer in answers) == 1
    assert sum(isinstance(answer, QuoteUsed) for answer in answers) == 9
    limits = Limits(100, 10**9, 2 * quote.gross.amount_minor)
    second = await scene.saved_quote()
    assert await scene.store.accept(scene.command(second), limits, key(), NOW)


async def test_two_orders_racing_for_the_last_of_a_limit_cannot_both_win(scene: Scene) -> None:
    """25,000 a day leaves room for two orders of 10,000, however many ask at once."""
    quotes = [await scene.saved_quote() for _ in range(6)]
    tries = [scene.store.accept(scene.command(quote), TIGHT, key(), NOW) for quote in quotes]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(answer, Order) for answer in answers) == 2
    refused = [answer for answer in answers if isinstance(answer, LimitExceeded)]
    assert len(refused) == 4
    assert refused[-1].details == {"remaining_minor": "5000", "currency": "USD"}


async def test_a_refused_order_leaves_its_quote_and_key_free(scene: Scene) -> None:
    """A limit refusal writes nothing at all."""
    quote = await scene.saved_quote(gross_minor=30_000)
    command, again = scene.command(quote), key("again")
    with pytest.raises(LimitExceeded):
        await scene.store.accept(command, TIGHT, again, NOW)
    assert await scene.store.get(command.order_id) is None
    assert await scene.store.events(command.order_id) == []
    assert (await scene.store.accept(command, AMPLE, again, NOW)).id == command.order_id


async def test_a_key_used_with_another_payload_is_refused(scene: Scene) -> None:
    """Even when the second request would be fine by itself."""
    first, second = await scene.saved_quote(), await scene.saved_quote()
    await scene.store.accept(scene.command(first), AMPLE, key("k", "one"), NOW)
    with pytest.raises(IdempotencyMismatch):
        await scene.store.accept(scene.command(second), AMPLE, key("k", "two"), NOW)


async def test_a_quotes_key_cannot_be_used_for_an_order(scene: Scene) -> None:
    """One key means one request, whichever resource it made."""
    quote = scene.quote()
    await scene.store.save_quote(quote, key("k", "POST /quotes"))
    with pytest.raises(IdempotencyMismatch):
        await scene.store.accept(scene.command(quote), AMPLE, key("k", "POST /orders"), NOW)


async def test_the_same_request_at_once_makes_one_order_and_one_answer(scene: Scene) -> None:
    """Eight copies of one request, each with an order id of its own: all answers are equal."""
    quote = await scene.saved_quote()
    same = key()
    tries = [scene.store.accept(scene.command(quote), AMPLE, same, NOW) for _ in range(8)]
    answers = await asyncio.gather(*tries)
    assert len({answer.id for answer in answers}) == 1
    assert len(await scene.store.events(answers[0].id)) == 1


async def test_a_replay_answers_the_order_as_it_was_accepted(scene: Scene) -> None:
    """Later changes do not leak into the stored answer."""
    quote, same = await scene.saved_quote(), key()
    command = scene.command(quote)
    first = await scene.store.accept(command, AMPLE, same, NOW)
    patch = {"payment_intent_id": "pi_1", "reason": "seen"}
    await scene.apply(move(first, Status.AUTHORIZED, after(5), patch=patch, under_lease=False))
    await scene.store.claim(Status.AUTHORIZED, after(10), limit=5, lease_ms=1_000)
    replayed = await scene.store.accept(scene.command(quote), AMPLE, same, after(60))
    assert replayed == first


async def test_a_replay_works_after_the_quote_has_expired(scene: Scene) -> None:
    """The first answer stands, whatever the clock says."""
    quote, same = await scene.saved_quote(), key()
    first = await scene.store.accept(scene.command(quote), AMPLE, same, NOW)
    assert await scene.store.accept(scene.command(quote), AMPLE, same, after(10**6)) == first


async def test_an_accepted_order_carries_everything_the_quote_promised(scene: Scene) -> None:
    """Amounts, lines, expiry; due at once; one event."""
    quote = await scene.saved_quote()
    command = scene.command(quote, return_url="https://shop.example/back")
    order = await scene.store.accept(command, AMPLE, key(), NOW)
    assert (order.gross, order.token, order.lines) == (quote.gross, quote.token, quote.lines)
    assert (order.expires_at, order.due_at, order.epoch) == (quote.expires_at, NOW, 0)
    assert (order.return_url, order.metadata) == (command.return_url, {"cart": "42"})
    assert order == await scene.store.get(order.id)
    [event] = await scene.store.events(order.id)
    assert event.type == "order.awaiting_payment"


async def test_amounts_beyond_sixty_four_bits_survive(scene: Scene) -> None:
    """Wei overflow a bigint at 9.2 ether; rows hold 78 digits."""
    quote = await scene.saved_quote()
    huge = replace(scene.quote(), token=replace(quote.token, amount_minor=10**77 + 1))
    await scene.store.save_quote(huge, key())
    order = await scene.store.accept(scene.command(huge), AMPLE, key(), NOW)
    stored = await scene.store.get(order.id)
    assert stored is not None
    assert stored.token.amount_minor == 10**77 + 1


async def test_a_saved_quote_is_replayed_by_its_key(scene: Scene) -> None:
    """The second quote under the same key is the first one."""
    first, same = scene.quote(), key()
    assert await scene.store.save_quote(first, same) == first
    assert await scene.store.save_quote(scene.quote(gross_minor=77), same) == first


async def test_a_quote_key_with_another_payload_is_refused(scene: Scene) -> None:
    """Same key, other fingerprint."""
    await scene.store.save_quote(scene.quote(), key("k", "one"))
    with pytest.raises(IdempotencyMismatch):
        await scene.store.save_quote(scene.quote(), key("k", "two"))


async def test_the_daily_limit_starts_anew_on_the_next_utc_day(scene: Scene) -> None:
    """The counter belongs to the day of acceptance."""
    late = scene.quote(gross_minor=25_000, expires_at=NOW + timedelta(days=3))
    later = scene.quote(gross_minor=25_000, expires_at=NOW + timedelta(days=3))
    for quote in (late, later):
        await scene.store.save_quote(quote, key())
    await scene.store.accept(scene.command(late), TIGHT, key(), NOW)
    with pytest.raises(LimitExceeded):
        await scene.store.accept(scene.command(later), TIGHT, key(), after(60))
    tomorrow = NOW + timedelta(days=1)
    assert await scene.store.accept(scene.command(later), TIGHT, key(), tomorrow)


async def test_a_voided_order_gives_its_share_of_the_limit_back(scene: Scene) -> None:
    """After the exit the customer may spend the same amount again, and only that."""
    quote = await scene.saved_quote(gross_minor=25_000)
    order = await scene.store.accept(scene.command(quote), TIGHT, key(), NOW)
    order = await scene.apply(void(order, Status.EXPIRED, "too_late", NOW, under_lease=False))
    change = move(order, Status.EXPIRED, NOW, under_lease=False, gives_back_limit=True)
    assert await scene.store.apply_many([change]) == []
    assert await scene.store.apply_many([change]) == [change]  # given back once
    second, third = await scene.saved_quote(gross_minor=25_000), await scene.saved_quote()
    assert await scene.store.accept(scene.command(second), TIGHT, key(), NOW)
    with pytest.raises(LimitExceeded):
        await scene.store.accept(scene.command(third), TIGHT, key(), NOW)


async def test_another_tenants_order_cannot_be_canceled(scene: Scene) -> None:
    """It does not exist for them."""
    order = await scene.order()
    with pytest.raises(NotFound):
        await scene.store.cancel("ten_other", order.id, "changed_mind", key(), NOW)


async def test_an_order_that_has_gone_too_far_cannot_be_canceled(scene: Scene) -> None:
    """Captured money is refunded, not canceled; the status stays."""
    order = await scene.captured()
    with pytest.raises(NotCancelable):
        await scene.store.cancel(scene.tenant, order.id, "changed_mind", key(), NOW)
    stored = await scene.store.get(order.id)
    assert stored is not None
    assert stored.status is Status.CAPTURED


async def test_an_order_being_voided_for_another_reason_cannot_be_canceled(scene: Scene) -> None:
    """Its exit is decided: expired, not canceled."""
    order = await scene.order()
    await scene.apply(void(order, Status.EXPIRED, "too_late", NOW, under_lease=False))
    with pytest.raises(NotCancelable):
        await scene.store.cancel(scene.tenant, order.id, "changed_mind", key(), NOW)


async def test_canceling_twice_at_once_voids_once(scene: Scene) -> None:
    """Different keys, same order: one change, equal answers."""
    order = await scene.order()
    cancels = [
        scene.store.cancel(scene.tenant, order.id, "changed_mind", key(), NOW) for _ in range(5)
    ]
    answers = await asyncio.gather(*cancels)
    assert {(a.status, a.exit_to) for a in answers} == {(Status.VOIDING, Status.CANCELED)}
    types = [event.type for event in await scene.store.events(order.id)]
    assert types == ["order.awaiting_payment", "order.voiding"]


async def test_a_cancels_key_replays_its_first_answer(scene: Scene) -> None:
    """Also after the order has reached its exit."""
    order, same = await scene.order(), key()
    first = await scene.store.cancel(scene.tenant, order.id, "changed_mind", same, NOW)
    await scene.apply(move(first, Status.CANCELED, after(3), under_lease=False))
    again = await scene.store.cancel(scene.tenant, order.id, "changed_mind", same, after(9))
    assert again == first
    other = key(same.key, "another payload")
    with pytest.raises(IdempotencyMismatch):
        await scene.store.cancel(scene.tenant, order.id, "changed_mind", other, after(9))


async def test_canceling_under_a_workers_lease_makes_the_lease_worthless(scene: Scene) -> None:
    """The worker's change finds another status and changes nothing."""
    await scene.order()
    [leased] = await scene.store.claim(Status.AWAITING_PAYMENT, NOW, limit=1, lease_ms=9_000)
    await scene.store.cancel(scene.tenant, leased.id, "changed_mind", key(), NOW)
    late = move(leased, Status.AUTHORIZED, NOW)
    assert await scene.store.apply_many([late]) == [late]


async def test_fees_in_lines_add_up_after_a_round_trip(scene: Scene) -> None:
    """gross = sum of lines, read back from rows."""
    order = await scene.order(gross_minor=98_765)
    stored = await scene.store.get(order.id)
    assert stored is not None
    assert sum(line.amount_minor for line in stored.lines) == 98_765
    assert stored.gross.asset == USD
