"""A deployment whose database is copied and put back, and what is done to it in between."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from bridge.rebuild import Rebuild, Report
from bridge.storage import postgres
from bridge.storage.rebuilding import Rebuilding
from settlement.ledger.accounts import Account
from settlement.money import Asset
from settlement.order import Status
from settlement.stages import capture, charge, screen
from tests.chain.world import World
from tests.flows.bridge import FACTS_KEY, Bridge
from tests.support.postgres import execute
from tests.support.waiting import eventually

USD = Asset("USD", 2)


class Backups:
    """Copies of one database, and a deployment on whichever is said to be the real one."""

    def __init__(
        self,
        server: postgres.Server,
        dsn: str,
        open_on: Callable[..., Awaitable[Bridge]],
        world: World,
    ):
        self.world = world
        self._server = server
        self._dsn = dsn
        self._open_on = open_on
        self._copy = ""
        self.bridge: Bridge | None = None
        self.began_at = datetime.now(UTC)

    async def begin(self) -> Bridge:
        self.bridge = await self._open_on(self._dsn, True)
        return self.bridge

    async def backup(self) -> Bridge:
        """Stop everything, copy the database, and go on with it."""
        self._copy = f"backup_{uuid.uuid4().hex[:12]}"
        await self.close()
        source = self._dsn.rpartition("/")[2]
        await execute(self._server.dsn, f"CREATE DATABASE {self._copy} TEMPLATE {source}")
        self.bridge = await self._open_on(self._dsn, False)
        return self.bridge

    async def backup_of_a_shop(self) -> Bridge:
        """One that has sold something before."""
        await completed(await self.begin())
        return await self.backup()

    async def restore(self) -> Bridge:
        await self.close()
        self.bridge = await self._open_on(self._server.dsn_for(self._copy), False)
        return self.bridge

    async def close(self) -> None:
        if self.bridge is not None:
            for close in self.bridge.closing:
                await close()
        self.bridge = None

    @property
    def now(self) -> Bridge:
        assert self.bridge is not None
        return self.bridge


async def captured(bridge: Bridge, wallet: str | None = None) -> str:
    """A paid, screened and captured order that no batch holds yet."""
    order_id = await bridge.place(wallet=wallet)
    await bridge.pay(order_id)
    await bridge.tick_until(order_id, Status.CAPTURED, charge.tick, screen.tick, capture.tick)
    return order_id


async def completed(bridge: Bridge, wallet: str | None = None) -> str:
    order_id = await captured(bridge, wallet)
    await bridge.reach(order_id, Status.COMPLETED)
    return order_id


def rebuilding(bridge: Bridge, keys: tuple[str, ...] = (FACTS_KEY,)) -> Rebuild:
    """The command's work, as a process that has just started has it."""
    rows, history = Rebuilding(bridge.store.pool, "console"), bridge.chain.history
    return Rebuild(bridge.ports, rows, history, "local", [USD], keys)


async def rebuilt(
    backups: Backups, since: datetime | None = None, keys: tuple[str, ...] = (FACTS_KEY,)
) -> Report:
    """Run the command's work while the chain goes on mining."""
    bridge = backups.now
    work = asyncio.ensure_future(rebuilding(bridge, keys).run(since or backups.began_at))
    while not work.done():
        bridge.world.rpc("evm_mine")
        await asyncio.wait({work}, timeout=0.2)
    return work.result()


async def killed_while_it_waits(backups: Backups) -> None:
    """Run the work until every nonce is used up and none is final yet, and end it there."""
    bridge, lane = backups.now, backups.world.settler.address
    final = await bridge.chain.nonce(lane, (await bridge.chain.head()).final_number)
    end = final + bridge.ports.policy.lane_depth
    work = asyncio.ensure_future(rebuilding(bridge).run(backups.began_at))

    async def is_used_up() -> bool:
        assert not work.done(), work
        return (await bridge.chain.nonces(lane)).mined >= end

    try:
        await eventually(is_used_up, what="every nonce is used up")
    finally:
        work.cancel()
        await asyncio.wait({work})
    assert work.cancelled()


async def taken_for_something_else(bridge: Bridge) -> str:
    """The same Stripe account has other customers, too; returns the payment's intent."""
    paid = await bridge.stripe.v1.payment_intents.create_async(
        {
            "amount": 700,
            "currency": "usd",
            "payment_method": "pm_card_visa",
            "payment_method_types": ["card"],
            "confirm": True,
        }
    )
    assert paid.status == "succeeded"
    return str(paid.id)


async def coins_beyond_the_books(bridge: Bridge) -> int:
    """What the lane holds and the books do not know, in wei: the coins that it began with."""
    native = bridge.chain.native
    held = await bridge.chain.balance(native, bridge.world.settler.address)
    return held - await bridge.store.totals(Account.HOT_WALLET, native)


async def refund_at_the_provider(bridge: Bridge, order_id: str) -> None:
    intent_id = str((await bridge.order(order_id)).payment_intent_id)
    await bridge.stripe.v1.refunds.create_async({"payment_intent": intent_id})
