"""For every guard the disturbance that it is there for, brought about on purpose.

With the guard each of them ends well; without it the audit must find something. One worker, one
order, one thing that goes wrong: so it goes wrong every time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Any

from tests.chaos.backing import frozen
from tests.chaos.customers import VISA, Customer, Lists, block_in_token, draw
from tests.chaos.shop import Shop
from tests.chaos.system import System
from tests.support.waiting import eventually

PATIENCE_S = 6.0
"""How long a scenario waits for what only a sabotaged worker would do."""


class Stage:
    """What a scenario has in its hands."""

    def __init__(self, system: System, shop: Shop, lists: Lists, customers: list[Customer]) -> None:
        self.system = system
        self.shop = shop
        self.lists = lists
        self.customers = customers
        self.rng = Random(f"{system.options.seed}:scenario")

    async def up(self, stall: str | None = None) -> None:
        """The API and one worker, which may stop itself after a certain call."""
        if stall:
            self.system.stall["worker-0"] = stall
        await self.system.bring_up(["api", "worker-0"])

    async def place(self) -> Customer:
        customer = draw(self.system.options.seed, 100_000 + len(self.customers), 0)
        customer.kind, customer.amount_minor = "scenario", 10_000
        self.customers.append(customer)
        order = await self.shop.place(customer.amount_minor, customer.wallet, self.rng)
        customer.order_id = str(order["id"])
        return customer

    async def pay(self, customer: Customer) -> str:
        """Returns the intent's id."""
        intent_id = await self.shop.intent_of(str(customer.order_id))
        assert intent_id is not None
        await self.shop.pay(intent_id, VISA)
        return intent_id

    async def status(self, customer: Customer) -> str:
        return str((await self.shop.order(str(customer.order_id)))["status"])

    async def reaches(self, customer: Customer, *statuses: str, limit_s: float = 60) -> None:
        async def there() -> bool:
            return await self.status(customer) in statuses

        await eventually(there, limit_s=limit_s, what=f"{customer.order_id} {statuses}")

    async def may_reach(self, customer: Customer, *statuses: str) -> None:
        """A sabotaged worker gets there; an honest one does not, and that is fine."""
        with suppress(AssertionError):
            await self.reaches(customer, *statuses, limit_s=PATIENCE_S)

    async def stalled(self) -> None:
        await frozen(self.system.children["worker-0"], limit_s=60)

    def thaw(self) -> None:
        self.system.thaw(self.system.children["worker-0"])

    def every_rpc(self, kind: str, subject: str, times: int) -> None:
        for rpc in self.system.rpcs:
            rpc.faults.order(kind, subject, times)


async def _mined(stage: Stage) -> Customer:
    """An order whose transaction is in the newest block, with no block to follow."""
    await stage.up()
    customer = await stage.place()
    await stage.pay(customer)
    await stage.reaches(customer, "submitted", "confirming", "completed")

    async def included() -> bool:
        return await stage.system.chain.recent_transactions(1) > 0

    stage.system.mining.clear()
    with suppress(AssertionError):
        await eventually(included, limit_s=0.1, what="the block")
    while not await included():
        await stage.system.chain.mine()
        await stage.system.pause(0.1)
    return customer


async def _reorganised(stage: Stage) -> None:
    """A block is gone after it was seen, and its transaction with it."""
    customer = await _mined(stage)
    await stage.reaches(customer, "confirming", "completed")
    await stage.may_reach(customer, "completed")
    await stage.system.chain.reorganise(1, NO_RETURN)
    stage.system.mining.set()


async def _unanswered_sending(stage: Stage) -> None:
    """The node took the bytes, and the answer to that was lost."""
    await stage.up()
    stage.every_rpc("drop_after", "eth_sendRawTransaction", 1)
    customer = await stage.place()
    await stage.pay(customer)
    await stage.reaches(customer, "completed", "submitted", "confirming")


async def _vanishing_receipt(stage: Stage) -> None:
    """Seen in a block, then every endpoint lags for a while."""
    customer = await _mined(stage)
    await stage.reaches(customer, "confirming")
    for rpc in stage.system.rpcs:
        rpc.faults.rates = {"lagging_receipt": 1.0}
    stage.system.mining.set()
    await stage.system.pause(PATIENCE_S)
    for rpc in stage.system.rpcs:
        rpc.faults.rates = {}


async def _liar(stage: Stage) -> None:
    """Two endpoints are away, and the one that is left says that everything has reverted."""
    await stage.up()
    customer = await stage.place()
    await stage.pay(customer)
    liar, *others = stage.system.rpcs
    await stage.reaches(customer, "submitted", "confirming")
    liar.faults.rates = {"lie_reverted": 1.0}
    for rpc in others:
        rpc.faults.rates = {"http_500": 1.0}
    await stage.system.pause(PATIENCE_S)
    for rpc in stage.system.rpcs:
        rpc.faults.rates = {}


async def _ordinary(stage: Stage) -> None:
    """Nothing goes wrong at all."""
    await stage.up()
    customer = await stage.place()
    await stage.pay(customer)
    await stage.reaches(customer, "completed")


async def _late_riser(stage: Stage) -> None:
    """A worker freezes between a capture and its storing; another finishes; the first wakes."""
    await stage.up(stall="payment.capture")
    customer = await stage.place()
    await stage.pay(customer)
    await stage.stalled()
    await stage.system.bring_up(["worker-1"])
    await stage.reaches(customer, "completed")
    stage.thaw()
    await stage.system.pause(2)


async def _listed_meanwhile(stage: Stage) -> None:
    """The wallet is listed after the capture, before the batch; what is held is refunded."""
    await stage.up(stall="payment.capture")
    customer = await stage.place()
    intent_id = await stage.pay(customer)
    await stage.stalled()
    stage.lists.block(customer.wallet)
    stage.thaw()

    async def held() -> bool:
        order = await stage.shop.order(str(customer.order_id))
        return order["hold_reason"] == "sanctions" or order["status"] == "completed"

    await eventually(held, limit_s=60, what="the hold")
    await stage.shop.refund(intent_id, None)


async def _lost_intent(stage: Stage) -> None:
    """Stripe has made the intent, and the answer is lost."""
    stage.system.stripe_proxy.faults.order("drop_after", "POST /v1/payment_intents")
    await _ordinary(stage)


async def _refunded_meanwhile(stage: Stage) -> None:
    """Somebody refunds in the dashboard before the order leaves."""
    await stage.up(stall="payment.capture")
    customer = await stage.place()
    intent_id = await stage.pay(customer)
    await stage.stalled()
    await stage.shop.refund(intent_id, None)
    stage.thaw()
    await stage.reaches(customer, "completed", "refunded")


async def _refund_that_nobody_told(stage: Stage) -> None:
    """Somebody refunds a completed order, and the webhooks are lost."""
    await stage.up()
    customer = await stage.place()
    intent_id = await stage.pay(customer)
    await stage.reaches(customer, "completed")
    stage.system.webhooks.faults.rates = {"webhook_lost": 1.0}
    await stage.shop.refund(intent_id, None)
    await stage.system.pause(1)
    stage.system.webhooks.faults.rates = {}


async def _canceled(stage: Stage) -> None:
    """The customer's card is held when they cancel."""
    customer_wallet = draw(stage.system.options.seed, 100_000 + len(stage.customers), 0).wallet
    stage.lists.review.add(customer_wallet)
    stage.lists.write()
    await stage.up()
    customer = await stage.place()
    await stage.pay(customer)
    await stage.reaches(customer, "in_review")
    await stage.shop.cancel(str(customer.order_id), stage.rng)
    await stage.reaches(customer, "canceled")


async def _partly_refunded(stage: Stage) -> None:
    """A part went back by hand before the rest has to: the recipient cannot be paid."""
    wallet = draw(stage.system.options.seed, 100_000 + len(stage.customers), 0).wallet
    await block_in_token(stage.system, wallet)
    await stage.up(stall="payment.capture")
    customer = await stage.place()
    intent_id = await stage.pay(customer)
    await stage.stalled()
    await stage.shop.refund(intent_id, 3_000)
    stage.thaw()
    await stage.reaches(customer, "refunded", "refund_failed")


async def _overtaken(stage: Stage) -> None:
    """A worker freezes with a batch in its hands; another outbids it, and the higher bid is final
    when the first wakes: it knows nothing of the bytes that used up its nonce."""
    stage.system.mining.clear()
    await stage.up(stall="store.open_batches:2")
    customer = await stage.place()
    await stage.pay(customer)
    await stage.stalled()
    await stage.system.bring_up(["worker-1"])

    async def outbid() -> bool:
        return await stage.system.ask("SELECT count(*) FROM batch_attempts") > 1

    await eventually(outbid, limit_s=60, what="the higher bid")
    stage.system.mining.set()
    await stage.reaches(customer, "completed")
    stage.thaw()
    await stage.system.pause(PATIENCE_S / 2)


async def _claimed_twice(stage: Stage) -> None:
    """A worker freezes when it has claimed an order for its lane; another pays it by another lane;
    the first wakes and goes on with what it has claimed."""
    first = await stage.system.ask("SELECT min(id) FROM lanes")
    only = "UPDATE lanes SET paused_by = 'op', paused_at = CASE WHEN (id = $1) <> $2 THEN now() END"
    await stage.system.ask(only, first, True)
    await stage.up(stall="store.claim_for_batch")
    customer = await stage.place()
    await stage.pay(customer)
    await stage.stalled()
    await stage.system.ask(only, first, False)
    await stage.system.bring_up(["worker-1"])
    await stage.reaches(customer, "completed")
    await stage.system.ask("UPDATE lanes SET paused_by = NULL, paused_at = NULL")
    stage.thaw()
    await stage.system.pause(PATIENCE_S)


async def _rewritten(stage: Stage) -> None:
    """Somebody changes a wallet in the database when its batch is planned and not yet signed, and
    is found out: the row is put right again."""
    rewrite = "UPDATE orders SET wallet = $2 WHERE id = $1 RETURNING id"
    thief = draw(stage.system.options.seed, 200_000, 0).wallet
    await stage.up(stall="store.open_batches")
    customer = await stage.place()
    await stage.pay(customer)
    await stage.stalled()
    assert await stage.system.ask(rewrite, customer.order_id, thief)
    stage.thaw()
    await stage.may_reach(customer, "confirming", "completed")
    await stage.system.ask(rewrite, customer.order_id, customer.wallet)
    await stage.reaches(customer, "completed")


async def _restored(stage: Stage) -> None:
    """A backup from before an order was paid comes back; who notices rebuilds what happened."""
    await stage.up()
    customer = await stage.place()
    assert await stage.shop.intent_of(str(customer.order_id))
    await asyncio.to_thread(stage.system.database.back_up)
    await stage.pay(customer)
    await stage.reaches(customer, "completed")
    await stage.system.take_down("worker-0")
    await asyncio.to_thread(stage.system.database.restore)
    stage.system.launch("worker-0")

    async def reason() -> str | None:
        found = await stage.system.ask("SELECT stop_reason FROM networks")
        return None if found is None else str(found)

    with suppress(AssertionError):
        await eventually(reason, limit_s=20, what="the stop")
    if await reason() is not None:
        await stage.system.take_down("worker-0")
        told = await stage.system.command("settlement", "rebuild", "local", "--yes")
        assert "runs again" in told, told
        stage.system.launch("worker-0")
    await stage.reaches(customer, "completed", "refunded")


class _NoReturn(Random):
    """Draws so that a reorganisation drops everything."""

    def random(self) -> float:
        return 1.0


NO_RETURN = _NoReturn()

SCENARIOS: dict[str, Callable[[Stage], Awaitable[None]]] = {
    "finality": _reorganised,
    "rebroadcast": _reorganised,
    "stored-bytes": _unanswered_sending,
    "unknown-is-pending": _unanswered_sending,
    "absent-receipt": _vanishing_receipt,
    "quorum": _liar,
    "reservation": _ordinary,
    "epoch": _late_riser,
    "veto-reread": _listed_meanwhile,
    "derived-key": _lost_intent,
    "outside-refunds": _refunded_meanwhile,
    "sweep": _refund_that_nobody_told,
    "confirmed-void": _canceled,
    "refunds-reread": _partly_refunded,
    "lane-epoch": _overtaken,
    "one-batch": _claimed_twice,
    "planned-root": _rewritten,
    "forgotten-nonce": _restored,
}


async def provoke(system: System, name: str, lists: Lists, customers: list[Any]) -> None:
    """Bring about what the guard of this name is there for."""
    shop = Shop(system)
    try:
        await SCENARIOS[name](Stage(system, shop, lists, customers))
    finally:
        system.mining.set()
        await shop.close()
