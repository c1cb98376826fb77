"""Anything in any order: the money holds after every step, and in the end everybody is settled.

Time, blocks, reorganisations, lag, lost answers, forgotten bytes, crashes, frozen workers, funds
that run out, pauses, bumps and cancellations, on the pure core with its fakes.
"""

import asyncio
import contextlib
import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chain.simulated import VAULT
from settlement.batch import OPEN, BatchStatus, Lane
from settlement.errors import ChainUnknown, TidegateError
from settlement.ledger.accounts import Account
from settlement.order import Status
from settlement.pipeline import settle, take_lanes
from settlement.ports.bundle import Ports
from settlement.ports.effects import GAPS
from settlement.schedule import Policy
from settlement.stages import confirm, refund, submit
from tests.support.builders import DUSD
from tests.support.engine import RICH_WEI, Engine, an_engine
from tests.support.stopping import Doomed, Frozen, Stopped, watched

POLICY = Policy(
    bump_ms=8_000,
    rebroadcast_ms=3_000,
    sign_patience_ms=60_000,
    retry_ms_max=8_000,
    lane_depth=4,
    fee_caps_wei={"local": 60 * 10**9},
)
ASKED = (
    *("head", "nonce", "block_hash", "inclusions", "batch_recorded", "balance"),
    *("singly", "fees", "preflight", "sign", "send"),
)
TROUBLES = ("silent", "lost answer", "forgets")


async def _rounds(ports: Ports, lane: Lane) -> None:
    with contextlib.suppress(TidegateError):
        await confirm.tick(ports, lane)
        await submit.tick(ports, lane)


class Deployment(RuleBasedStateMachine):
    """Two workers, two lanes, one chain."""

    engine: Engine

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.frozen: list[tuple[Frozen, asyncio.Task[Any]]] = []
        self.drained = 0

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    @initialize()
    def begin(self) -> None:
        self.engine = self.run(an_engine(2, policy=POLICY, max_batch=3, final_depth=3))
        self.workers = [self.engine.ports, self.engine.another_worker()]
        for _ in range(2):
            self.run(self.engine.order())
            self.run(self.engine.coins())

    # People ---------------------------------------------------------------------------------

    @rule(count=st.integers(1, 5), coins=st.booleans())
    def customers_pay(self, count: int, coins: bool) -> None:
        if len(self.engine.orders) < 25:
            for _ in range(count):
                self.run(self.engine.coins() if coins else self.engine.order())

    @rule(which=st.integers(0, 30), cancel=st.booleans())
    def an_operator_asks(self, which: int, cancel: bool) -> None:
        batches = [batch for batch in self.engine.batches() if batch.status in OPEN]
        if batches:
            batch = batches[which % len(batches)]
            self.run(self.engine.store.ask(batch.id, self.engine.clock.now(), cancel=cancel))

    @rule(what=st.sampled_from(("network", "0xlane0", "0xlane1")))
    def an_operator_pauses(self, what: str) -> None:
        store, now = self.engine.store, self.engine.clock.now()
        if what == "network":
            self.run(store.pause_network("local", now, by="op_1"))
        else:
            self.run(store.pause_lane("local", what, now, by="op_1"))

    @rule(which=st.integers(0, 30))
    def a_token_refuses_somebody(self, which: int) -> None:
        orders = list(self.engine.orders.values())
        if orders:
            self.engine.chain.refusing.add(orders[which % len(orders)].wallet)

    # The chain and its nodes ----------------------------------------------------------------

    @rule(depth=st.integers(1, 3), forget=st.booleans())
    def the_chain_reorganises(self, depth: int, forget: bool) -> None:
        if len(self.engine.chain.blocks) > depth:
            self.engine.chain.reorganise(depth, forget=forget)

    @rule(
        what=st.sampled_from(("evict", "gas", "lag", "receipts", "vault", "trouble")),
        number=st.integers(0, 40),
    )
    def the_chain_is_in_trouble(self, what: str, number: int) -> None:
        chain = self.engine.chain
        if what == "evict":
            chain.evict()
        elif what == "gas":
            chain.base_fee_wei = (1 + number) * 10**9
        elif what == "lag":
            chain.lag = number % 4
        elif what == "receipts":
            chain.receiptless = number % 2 == 0
        elif what == "vault":
            chain.paused = True
        else:
            self._trouble(TROUBLES[number % len(TROUBLES)], ASKED[number % len(ASKED)])

    @rule(what=st.sampled_from(("vault", "0xlane0", "0xlane1")))
    def money_runs_out(self, what: str) -> None:
        chain = self.engine.chain
        if what != "vault":
            chain.give(what, coins=10**14 - chain.state.coins[what])
        elif not self.drained:
            self.drained = max(chain.state.tokens.get(VAULT, 0) - 1, 0)
            chain.give(VAULT, tokens=-self.drained)

    @rule()
    def all_trouble_ends(self) -> None:
        self.run(self._heal())

    # Time and workers -----------------------------------------------------------------------

    @rule(number=st.integers(0, 1), blocks=st.integers(0, 2), seconds=st.integers(0, 70))
    def a_moment_passes(self, number: int, blocks: int, seconds: int) -> None:
        self.run(self._work(self.workers[number]))
        self.engine.chain.mine(blocks)
        self.engine.clock.pass_s(seconds)

    @rule(count=st.integers(1, 5))
    def some_time_passes(self, count: int) -> None:
        for number in range(count):
            self.a_moment_passes(number % 2, 1, 3)

    @rule(count=st.integers(1, 5))
    def a_long_time_passes(self, count: int) -> None:
        for number in range(count):
            self.a_moment_passes(number % 2, 1, 31)

    @rule(number=st.integers(0, 1), last=st.integers(0, 25))
    def a_worker_crashes(self, number: int, last: int) -> None:
        doomed = Doomed(self.engine.store, frozenset(GAPS), last)
        with contextlib.suppress(Stopped):
            self.run(self._work(watched(self.workers[number], doomed.watch)))
        self.workers[number] = self.engine.another_worker()

    @precondition(lambda self: len(self.frozen) < 2)
    @rule(number=st.integers(0, 1), at=st.integers(0, 25))
    def a_worker_freezes(self, number: int, at: int) -> None:
        self.run(self._freeze(self.workers[number], at))
        self.workers[number] = self.engine.another_worker()

    @precondition(lambda self: self.frozen)
    @rule()
    def a_frozen_worker_wakes(self) -> None:
        frozen, task = self.frozen.pop(0)
        self.run(self._wake(frozen, task))

    async def _work(self, ports: Ports) -> None:
        with contextlib.suppress(TidegateError):
            await settle(ports)
        await refund.tick(ports)

    async def _freeze(self, ports: Ports, at: int) -> None:
        frozen = Frozen(at)
        for lane in (await take_lanes(ports, "local"))[:1]:
            task = asyncio.ensure_future(_rounds(watched(ports, frozen.watch), lane))
            asleep = asyncio.ensure_future(frozen.asleep.wait())
            await asyncio.wait({task, asleep}, return_when=asyncio.FIRST_COMPLETED)
            asleep.cancel()
            if not task.done():
                self.frozen.append((frozen, task))

    async def _wake(self, frozen: Frozen, task: asyncio.Task[Any]) -> None:
        frozen.wake.set()
        await task

    def _trouble(self, kind: str | None, method: str) -> None:
        chain = self.engine.chain

        def before(name: str) -> None:
            if name == method and kind == "silent":
                raise ChainUnknown(kind)

        def after(name: str) -> None:
            if name == "send" and kind == "forgets":
                chain.evict()
            if name == "send" and kind == "lost answer":
                raise ChainUnknown(kind)

        chain.before, chain.after = before, after

    # What must hold -------------------------------------------------------------------------

    @invariant()
    def nobody_is_paid_twice_or_both_paid_and_refunded(self) -> None:
        self.run(self.engine.check())
        for order in self.engine.store.tables.orders.values():
            if order.status in (Status.REFUND_PENDING, Status.REFUNDED):
                assert self.engine.paid(order) == 0, f"{order.id} is paid and refunded"

    @invariant()
    def a_nonce_belongs_to_one_batch(self) -> None:
        owners: dict[tuple[int, int], int] = {}
        for batch in self.engine.batches():
            for attempt in batch.attempts:
                assert attempt.transaction.nonce == batch.nonce
            if batch.attempts:
                assert owners.setdefault((batch.lane_id, batch.nonce), batch.id) == batch.id

    @invariant()
    def what_was_decided_stays(self) -> None:
        """A decided batch's block is on the chain for ever, with the hash that decided it."""
        blocks = self.engine.chain.blocks
        for batch in self.engine.batches():
            if batch.status not in OPEN:
                assert batch.block_number is not None
                assert blocks[batch.block_number].hash == batch.block_hash

    @invariant()
    def nothing_stops_the_network(self) -> None:
        """Nobody else signs here: whatever looks like it is our own mistake."""
        state = self.engine.store.tables.networks.get("local")
        assert state is None or state.stop_reason is None, state

    def teardown(self) -> None:
        """All trouble ends: all are paid or refunded, and the vault holds what the books say."""
        try:
            if hasattr(self, "engine"):
                self.run(self._end())
        finally:
            self.runner.close()

    async def _end(self) -> None:
        engine = self.engine
        for frozen, task in self.frozen:
            await self._wake(frozen, task)
        await self._heal()
        for _ in range(80):
            await self._work(self.workers[0])
            engine.chain.mine()
            engine.clock.pass_s(31)
            if self._is_quiet():
                break
        assert self._is_quiet(), [(o.id, o.status, o.hold_reason) for o in self._orders()]
        await engine.check()
        assert {batch.status for batch in engine.batches()} <= {*BatchStatus} - OPEN
        held = await engine.store.totals(Account.VAULT, DUSD)
        assert held == engine.chain.state.tokens.get(VAULT, 0)
        await engine.check_coins()

    async def _heal(self) -> None:
        engine = self.engine
        self._trouble(None, "")
        engine.chain.give(VAULT, tokens=self.drained)
        self.drained = 0
        engine.chain.lag, engine.chain.paused, engine.chain.base_fee_wei = 0, False, 10**9
        engine.chain.receiptless = False
        for number in range(2):
            engine.chain.give(f"0xlane{number}", coins=RICH_WEI)
            await engine.store.resume_lane("local", f"0xlane{number}", engine.clock.now())
        await engine.store.resume_network("local", engine.clock.now())

    def _orders(self) -> list[Any]:
        return list(self.engine.store.tables.orders.values())

    def _is_quiet(self) -> bool:
        decided = all(o.status in (Status.COMPLETED, Status.REFUNDED) for o in self._orders())
        return decided and not any(batch.status in OPEN for batch in self.engine.batches())


Deployment.TestCase.settings = settings(
    max_examples=int(os.environ.get("MACHINE_EXAMPLES", "60")),
    stateful_step_count=int(os.environ.get("MACHINE_STEPS", "50")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestDeployment = Deployment.TestCase
