"""Does the policy save gas in the real engine? The same orders, settled twice on one chain.

``python -m benchmarks.gas_replay FILE [--json]``: anvil replays the base fees of a recorded window
(``anvil_setNextBlockBaseFeePerGas``, 12 seconds of chain time a block, as fast as the machine can).
Two engines of the product (stages, PostgreSQL, vault, a lane each) get the same paid orders at the
same blocks: one asks the policy when to send, the other sends at once. Compared is what their
ledgers booked for gas, and whether every order was in a block by its deadline.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.settlement_world import PASSWORD, World, open_world
from bridge import logging
from bridge.bootstrap import list_paths, open_chain
from bridge.settings import load
from bridge.storage.store import PostgresStore
from chain.evm.client import EvmChain
from chain.gas import artifact
from chain.gas.history import History
from chain.gas.service import GasService
from chain.gas.static import StaticGas
from chain.gas.store import GasStore
from chain.gas.windows import MalformedFile, read
from chain.networks.local import NETWORK
from chain.rpc import RpcClient
from chain.signers.keystore import load_keystore
from compliance_graph.screener import ListScreener
from settlement.pipeline import settle
from settlement.ports.bundle import Ports
from settlement.ports.gas import GasPort
from settlement.quote import Speed
from settlement.schedule import SETTLE_WITHIN_MS, Policy

BLOCK_S = 12
_WARM_BLOCKS = 320
_TAIL_BLOCKS = 4
"""After the last deadline, at most: until the last batch is final."""
ETHEREUM_LIKE = replace(NETWORK, block_ms=BLOCK_S * 1_000)


class ChainClock:
    """The time of the newest block, and a second more."""

    def __init__(self) -> None:
        self.moment = datetime.now(UTC)

    def now(self) -> datetime:
        return self.moment


@dataclass(frozen=True, slots=True)
class Plan:
    """``fees`` in wei, the first :data:`_WARM_BLOCKS` before any order; one order at each arrival,
    counted in blocks after them."""

    fees: Sequence[int]
    arrivals: Sequence[int]
    speed: Speed

    @property
    def blocks(self) -> int:
        return self.arrivals[-1] + SETTLE_WITHIN_MS[self.speed] // 1_000 // BLOCK_S + _TAIL_BLOCKS


@dataclass(slots=True)
class Engine:
    """One engine's hands: its store, its ports, its chain."""

    store: PostgresStore
    ports: Ports
    chain: EvmChain

    async def unfinished(self) -> int:
        """Orders that are not completed, arrived or not."""
        return int(
            await self.store.pool.fetchval(
                "SELECT count(*) FROM orders WHERE status <> 'completed'"
            )
        )

    async def open_orders(self) -> int:
        return int(
            await self.store.pool.fetchval(
                "SELECT count(*) FROM orders WHERE status <> 'completed' AND due_at <= $1",
                self.ports.clock.now(),
            )
        )


def plan(window: Path, *, first: int, orders: int, every: int, speed: Speed) -> Plan:
    """Raises :class:`~chain.gas.windows.MalformedFile` for a window that is too short."""
    made = Plan((), [at * every for at in range(1, orders + 1)], speed)
    blocks = read(window)
    count = _WARM_BLOCKS + made.blocks + 1
    fees = [int(fee) for fee in blocks.fees[first : first + count]]
    if len(fees) < count:
        raise MalformedFile(f"{window}: has no {count} blocks from row {first} on")
    return replace(made, fees=fees)


async def replay(folder: Path, made: Plan, model: Path | None = None) -> dict[str, Any]:
    """Both engines over the same blocks; JSON-ready."""
    async with open_world(folder, lanes=2, block_time_s=None) as world, AsyncExitStack() as stack:
        node = _Node(world.chain.url)
        stack.push_async_callback(node.close)
        await node.stop_mining()
        clock = ChainClock()
        clock.moment = await node.mine(made.fees[:_WARM_BLOCKS])
        engines = {}
        for name, lane in zip(("policy", "at_once"), world.deployment.lanes, strict=True):
            opened = _open_engine(
                world,
                lane,
                made,
                clock,
                model if name == "policy" else None,
                waits=name == "policy",
            )
            engines[name] = await stack.enter_async_context(opened)
        for fee in made.fees[_WARM_BLOCKS : _WARM_BLOCKS + made.blocks]:
            await node.ask_fee(fee)
            for engine in engines.values():
                if await engine.open_orders():
                    await settle(engine.ports)
            clock.moment = await node.mine([fee])
            if not any([await engine.unfinished() for engine in engines.values()]):
                break
        return {
            "orders": len(made.arrivals),
            "speed": made.speed.value,
            "blocks": made.blocks,
            **{name: await _outcome(engine, made) for name, engine in engines.items()},
        }


class _Node:
    """anvil, mined by hand, a block every twelve seconds of its own time."""

    def __init__(self, url: str) -> None:
        self._rpc = RpcClient([url], timeout_ms=60_000)
        self._time_s = 0

    async def close(self) -> None:
        await self._rpc.close()

    async def stop_mining(self) -> None:
        await self._rpc.call("evm_setAutomine", False)
        head = await self._rpc.call("eth_getBlockByNumber", "latest", False)
        self._time_s = int(head["timestamp"], 16)

    async def ask_fee(self, fee_wei: int) -> None:
        """The next block will ask this base fee; nodes say so before it is mined."""
        await self._rpc.call("anvil_setNextBlockBaseFeePerGas", hex(fee_wei))

    async def mine(self, fees: Sequence[int]) -> datetime:
        """One block per base fee; returns a moment after the last."""
        for fee in fees:
            self._time_s += BLOCK_S
            await self.ask_fee(fee)
            await self._rpc.call("evm_mine", self._time_s)
        return datetime.fromtimestamp(self._time_s + 1, UTC)


@asynccontextmanager
async def _open_engine(
    world: World, lane: str, made: Plan, clock: ChainClock, model: Path | None, *, waits: bool
) -> AsyncIterator[Engine]:
    """A database with the orders, and ports with the lane's key."""
    deployment = replace(world.deployment, lanes=(lane,))
    stage = replace(world, deployment=deployment)
    dsn = await stage.stage(len(made.arrivals))
    world.stages = stage.stages
    key = load_keystore(world.folder / "keystore" / f"{lane}.json", PASSWORD)
    chain = open_chain(ETHEREUM_LIKE, deployment, {lane: key})
    store = await PostgresStore.connect(dsn, 1, 4)
    try:
        await _arrive(store, made, clock.now())
        gas: GasPort = StaticGas({"local": ETHEREUM_LIKE})
        if waits:
            gas = await _following(chain, store, clock, model)
        yield Engine(store, _ports(store, chain, gas, clock), chain)
    finally:
        await chain.close()
        await store.close()


async def _following(
    chain: EvmChain, store: PostgresStore, clock: ChainClock, model: Path | None
) -> GasService:
    gas_store = GasStore(store.pool)
    service = GasService(
        {"local": (ETHEREUM_LIKE, History("local", chain.fee_market, gas_store))},
        gas_store,
        clock,
        lambda: artifact.load(model),
        waits=frozenset({"local"}),
    )
    await service.refresh()
    return service


def _ports(store: PostgresStore, chain: EvmChain, gas: GasPort, clock: ChainClock) -> Ports:
    nobody: Any = None
    return Ports(
        store=store,
        payment=nobody,
        prices=nobody,
        screening=ListScreener(list_paths(load({}))),
        chains={"local": chain},
        gas=gas,
        clock=clock,
        policy=Policy(),
        log=logging.get("replay"),
    )


async def _arrive(store: PostgresStore, made: Plan, start: datetime) -> None:
    """Orders are paid at their blocks; before that nobody sees them."""
    ids = [row["id"] for row in await store.pool.fetch("SELECT id FROM orders ORDER BY id")]
    moments = [start + timedelta(seconds=BLOCK_S * at) for at in made.arrivals]
    await store.pool.execute(
        """
        UPDATE orders o SET created_at = a.moment, authorized_at = a.moment, due_at = a.moment,
                            expires_at = a.moment + interval '1 hour', speed = $3
        FROM unnest($1::text[], $2::timestamptz[]) AS a(id, moment) WHERE o.id = a.id
        """,
        *(ids, moments, made.speed.value),
    )


async def _outcome(engine: Engine, made: Plan) -> dict[str, Any]:
    """What the ledger booked, and how late each order was in a block."""
    pool = engine.store.pool
    spent = await pool.fetchval(
        "SELECT coalesce(sum(amount_minor), 0) FROM ledger_entries WHERE event = 'gas_spent'"
    )
    rows = await pool.fetch(
        """
        SELECT o.authorized_at, b.block_number FROM orders o
        JOIN batches b ON b.id = o.batch_id AND b.status = 'final'
        """
    )
    mined = [(await engine.chain.fee_market.headers(n, n))[0] for _, n in rows]
    within = timedelta(milliseconds=SETTLE_WITHIN_MS[made.speed])
    waited = [
        datetime.fromtimestamp(block.time_s, UTC) - row["authorized_at"]
        for block, row in zip(mined, rows, strict=True)
    ]
    why = await pool.fetch("SELECT reason, sum(sent) AS sent FROM gas_decisions GROUP BY reason")
    return {
        "gas_paid_wei": str(int(spent)),
        "paid": len(waited),
        "deadlines_kept": sum(wait <= within for wait in waited),
        "mean_base_fee_wei": str(sum(block.base_fee_wei for block in mined) // max(len(mined), 1)),
        "batches": int(await pool.fetchval("SELECT count(*) FROM batches WHERE status = 'final'")),
        "mean_wait_s": round(sum(w.total_seconds() for w in waited) / max(len(waited), 1), 1),
        "reasons": {row["reason"]: int(row["sent"]) for row in why},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gas_replay", description=__doc__)
    parser.add_argument("file", type=Path, help="a window of blocks, .csv or .csv.gz")
    parser.add_argument("--from", dest="first", type=int, default=1_000, help="row to start at")
    parser.add_argument("--orders", type=int, default=60)
    parser.add_argument("--every", type=int, default=5, help="blocks between two orders")
    parser.add_argument("--speed", choices=["standard", "economy"], default="standard")
    parser.add_argument("--model", type=Path, help="another artifact than the shipped one")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    speed = Speed(options.speed)
    try:
        made = plan(
            options.file,
            first=options.first,
            orders=options.orders,
            every=options.every,
            speed=speed,
        )
    except MalformedFile as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(replay(Path(folder), made, options.model))
    found["saved"] = round(
        1 - int(found["policy"]["gas_paid_wei"]) / int(found["at_once"]["gas_paid_wei"]), 4
    )
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for name in ("policy", "at_once"):
        one = found[name]
        print(
            f"{name:8} {int(one['gas_paid_wei']) / 1e18:.6f} ETH in {one['batches']} batches, "
            f"{one['deadlines_kept']} of {found['orders']} in time, {one['mean_wait_s']} s waited"
        )
    print(f"saved    {found['saved']:.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
