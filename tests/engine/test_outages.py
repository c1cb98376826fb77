"""What waits for an answer that does not come: the customer's hold is given back all the same."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.prices.static import StaticPrices
from settlement.errors import ScreeningUnavailable
from settlement.order import Status
from settlement.ports.bundle import Ports
from settlement.ports.payment import IntentStatus
from tests.engine.escrows import an_escrow_order
from tests.engine.stories import rounds
from tests.support.engine import Engine, Nobody, an_engine


class ListsDown(Nobody):
    """A screening whose veto lists cannot be read."""

    async def vetoed(
        self, _network: str, _wallets: Sequence[str], _tenant_id: str
    ) -> frozenset[str]:
        raise ScreeningUnavailable("no lists")


async def an_order() -> Engine:
    engine = await an_engine()
    await engine.accepted()
    return engine


def without_lists(engine: Engine) -> Ports:
    return replace(engine.ports, screening=ListsDown())


def without_prices(engine: Engine) -> Ports:
    return replace(engine.ports, prices=StaticPrices({}, engine.clock))


@pytest.mark.parametrize("outage", [without_lists, without_prices])
@pytest.mark.parametrize(
    ("begin", "reason"), [(an_order, "authorization_lapsed"), (an_escrow_order, "escrow_expired")]
)
async def test_an_outage_does_not_keep_an_order_beyond_its_time(
    begin: Callable[[], Awaitable[Engine]], reason: str, outage: Callable[[Engine], Ports]
) -> None:
    """Neither beyond the card's hold, which would lapse, nor beyond the escrow's end."""
    engine = await begin()
    [order] = engine.orders.values()
    await rounds(engine, without_lists(engine))
    cleared = await engine.now(order)
    assert cleared.status is Status.CLEARED
    assert cleared.capture_before is not None
    margin = timedelta(milliseconds=engine.ports.policy.capture_margin_ms)
    end = cleared.settle_by or cleared.capture_before - margin
    engine.clock.moment = end - timedelta(minutes=2)
    await rounds(engine, outage(engine), 2)
    assert (await engine.now(order)).status is Status.CLEARED
    engine.clock.moment = end
    await rounds(engine, outage(engine), 4, seconds=60)
    stored = await engine.now(order)
    assert (stored.status, stored.reason) == (Status.EXPIRED, reason)
    [intent] = engine.cards.intents.values()
    assert intent.status is IntentStatus.CANCELED
