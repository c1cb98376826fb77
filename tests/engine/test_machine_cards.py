"""From the card to the wallet, in any order: no money is kept for nothing, and none is given twice.

The companion of ``test_machine.py``, which begins where the money is captured and shakes the chain.
Here the provider, the customers, the officers and the people in the provider's dashboard do what
they like, whenever they like: calls that are lost before or after they were carried out, payments
that come late, holds that lapse, webhooks that never come, screening that is down or changes its
mind, inventory that is missing, crashes and frozen workers between any two effects.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from chain.simulated import VAULT
from settlement.case import STANDING, approve, reject
from settlement.errors import (
    ChainUnknown,
    PaymentUnknown,
    ScreeningUnavailable,
    TidegateError,
)
from settlement.ids import new_id
from settlement.ledger.accounts import Account
from settlement.order import Order, Status
from settlement.pipeline import TICKS
from settlement.ports.bundle import Ports
from settlement.ports.effects import GAPS
from settlement.ports.payment import Intent, IntentStatus, ProviderEvent, Refund, RefundStatus
from settlement.ports.screening import Outcome, Reason, Subject, Verdict
from settlement.stages.inbox import sweep
from tests.support.builders import NOW, USD, key
from tests.support.engine import Cards, Engine, Nobody, an_engine
from tests.support.stopping import Doomed, Stopped, watched

ENDED = frozenset(
    {Status.COMPLETED, Status.REFUNDED, Status.EXPIRED, Status.CANCELED, Status.REJECTED}
)
UNHEARD = {"payment": PaymentUnknown, "screening": ScreeningUnavailable, "chain": ChainUnknown}
ASKED = (
    *("payment.create_intent", "payment.retrieve_intent", "payment.capture", "payment.cancel"),
    *("payment.refund", "payment.refunds_of", "screening.screen", "screening.vetoed"),
    *("chain.send", "chain.head"),
)
DAY_S = 86_400


class Doubts(Nobody):
    """Sends to officers who was doubted, vetoes who was named."""

    def __init__(self) -> None:
        super().__init__()
        self.doubted: set[str] = set()

    async def screen(self, subject: Subject) -> Verdict:
        if subject.wallet in self.doubted - self.named:
            return Verdict(Outcome.REVIEW, (Reason("rule.test", "doubted"),), {"test": "1"})
        return await super().screen(subject)


class Dashboard(Cards):
    """The provider, with people who work in its dashboard, and holds that lapse."""

    def __init__(self) -> None:
        super().__init__()
        self.captures: list[str] = []

    async def capture(self, intent_id: str, amount_minor: int, key: str) -> Intent:
        if self.intents[intent_id].status is IntentStatus.REQUIRES_CAPTURE:
            self.captures.append(intent_id)
        return await super().capture(intent_id, amount_minor, key)

    def capture_by_hand(self, intent: Intent) -> None:
        if intent.status is IntentStatus.REQUIRES_CAPTURE:
            taken = {"status": IntentStatus.SUCCEEDED, "received_minor": intent.amount_minor}
            self._change(intent.id, **taken)

    def cancel_by_hand(self, intent: Intent) -> None:
        if intent.status is not IntentStatus.SUCCEEDED:
            self._change(intent.id, status=IntentStatus.CANCELED)

    def refund_by_hand(self, intent: Intent, now: datetime) -> None:
        left = intent.received_minor - self.given(intent.id)
        if left > 0:
            refund = Refund(new_id("re"), RefundStatus.SUCCEEDED, left)
            self.refunds.setdefault(intent.id, []).append(("by hand", refund))
            told = ProviderEvent(new_id("evt"), "charge.refunded", now, intent.id, None, {})
            self.events.append(told)

    def lapse(self, now: datetime) -> None:
        for intent in list(self.intents.values()):
            if intent.capture_before is not None and intent.capture_before <= now:
                self.cancel_by_hand(intent)

    def given(self, intent_id: str) -> int:
        return sum(refund.amount_minor for _key, refund in self.refunds.get(intent_id, []))


class CardBusiness(RuleBasedStateMachine):
    """Two workers, one provider, one chain that behaves."""

    engine: Engine
    cards: Dashboard
    doubts: Doubts

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.unheard: tuple[str, bool] | None = None

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    @initialize()
    def begin(self) -> None:
        self.engine = self.run(an_engine())
        self.cards, self.doubts = Dashboard(), Doubts()
        ports = replace(self.engine.ports, payment=self.cards, screening=self.doubts)
        self.engine.ports, self.engine.cards = ports, self.cards
        self.workers = [self._shaken(ports), self._shaken(self.engine.another_worker())]

    def _shaken(self, ports: Ports) -> Ports:
        """Ports whose answers are lost while ``unheard`` says so, before or after the deed."""

        async def watch(name: str, call: Callable[[], Awaitable[Any]]) -> Any:
            lost, done = self.unheard or ("", False)
            if name != lost:
                return await call()
            if done:
                await call()
            raise UNHEARD[name.partition(".")[0]](name)

        return watched(ports, watch)

    # People ---------------------------------------------------------------------------------

    @rule(stocked=st.booleans(), doubted=st.booleans(), named=st.booleans())
    def a_customer_orders(self, stocked: bool, doubted: bool, named: bool) -> None:
        if len(self.engine.orders) < 12:
            self.run(self._ordered(stocked, doubted, named))

    async def _ordered(self, stocked: bool, doubted: bool, named: bool) -> None:
        engine, wallet = self.engine, f"0x{len(self.engine.orders) + 1:040x}"
        order = await engine.scene.order(wallet=wallet, now=engine.clock.now())
        engine.orders[order.id] = order
        if doubted:
            self.doubts.doubted.add(wallet)
        if named:
            self.doubts.named.add(wallet)
        if stocked:
            await self._stock(order)

    async def _stock(self, order: Order) -> None:
        await self.engine.scene.fund(order.token.amount_minor)
        self.engine.chain.give(VAULT, tokens=order.token.amount_minor)

    @rule(which=st.integers(0, 30))
    def a_customer_pays(self, which: int) -> None:
        waiting = (IntentStatus.REQUIRES_PAYMENT_METHOD,)
        if intent := self._one(which, *waiting):
            self.cards.pay(intent.id, self.engine.clock.now())

    @rule()
    def everybody_pays(self) -> None:
        for _ in range(len(self.cards.intents)):
            self.a_customer_pays(0)

    @rule(which=st.integers(0, 30))
    def a_customer_cancels(self, which: int) -> None:
        orders = list(self.engine.orders.values())
        if orders:
            order, now = orders[which % len(orders)], self.engine.clock.now()
            cancel = self.engine.store.cancel(order.tenant_id, order.id, "customer", key(), now)
            with contextlib.suppress(TidegateError):
                self.run(cancel)

    @rule(which=st.integers(0, 30), officer=st.sampled_from("ab"), yes=st.booleans())
    def an_officer_decides(self, which: int, officer: str, yes: bool) -> None:
        now, cases = self.engine.clock.now(), self.engine.store.tables.cases.values()
        open_cases = [case for case in cases if case.status in STANDING]
        with contextlib.suppress(TidegateError):
            if open_cases:
                case = open_cases[which % len(open_cases)]
                limit = 5_000 if which % 2 else 10_000
                decided = (
                    approve(case, f"ofc_{officer}", "known", now, alone_up_to_minor=limit)
                    if yes
                    else reject(case, f"ofc_{officer}", "unknown", now)
                )
                self.engine.store.save_case(decided, now)

    @rule(which=st.integers(0, 30), deed=st.sampled_from(("capture", "cancel", "refund")))
    def somebody_works_in_the_dashboard(self, which: int, deed: str) -> None:
        if intent := self._one(which, *IntentStatus):
            if deed == "capture":
                self.cards.capture_by_hand(intent)
            elif deed == "cancel":
                self.cards.cancel_by_hand(intent)
            else:
                self.cards.refund_by_hand(intent, self.engine.clock.now())

    @rule(which=st.integers(0, 30))
    def a_list_names_somebody(self, which: int) -> None:
        orders = list(self.engine.orders.values())
        if orders:
            self.doubts.named.add(orders[which % len(orders)].wallet)

    def _one(self, which: int, *statuses: IntentStatus) -> Intent | None:
        found = [intent for intent in self.cards.intents.values() if intent.status in statuses]
        return found[which % len(found)] if found else None

    # The network and the workers ------------------------------------------------------------

    @rule(name=st.sampled_from(ASKED), done=st.booleans())
    def answers_are_lost(self, name: str, done: bool) -> None:
        self.unheard = (name, done)

    @rule()
    def answers_arrive_again(self) -> None:
        self.unheard = None

    @rule(share=st.integers(1, 3))
    def webhooks_arrive(self, share: int) -> None:
        self.run(self.engine.store.receive(self.cards.events[::share], self.engine.clock.now()))

    @rule(number=st.integers(0, 1), rounds=st.integers(1, 6))
    def a_moment_passes(self, number: int, rounds: int) -> None:
        for _ in range(rounds):
            self.run(self._work(self.workers[number]))
            self.engine.chain.mine()
            self.engine.clock.pass_s(12)

    @rule(seconds=st.sampled_from((900, DAY_S, 8 * DAY_S)))
    def a_long_time_passes(self, seconds: int) -> None:
        self.engine.clock.pass_s(seconds)
        self.cards.lapse(self.engine.clock.now())

    @rule(number=st.integers(0, 1), last=st.integers(0, 25))
    def a_worker_crashes(self, number: int, last: int) -> None:
        doomed = Doomed(self.engine.store, frozenset(GAPS), last)
        with contextlib.suppress(Stopped):
            self.run(self._work(watched(self.workers[number], doomed.watch)))
        self.workers[number] = self._shaken(self.engine.another_worker())

    async def _work(self, ports: Ports) -> None:
        for tick in TICKS.values():
            with contextlib.suppress(TidegateError):
                await tick(ports)

    # What must hold -------------------------------------------------------------------------

    @invariant()
    def nobody_is_paid_who_has_not_paid_and_the_books_balance(self) -> None:
        self.run(self.engine.check())
        for order in self.engine.orders.values():
            if self.engine.paid(order):
                intent = self.cards.intents[f"pi_{order.id}"]
                assert intent.received_minor == order.gross.amount_minor, order.id
            assert self.cards.given(f"pi_{order.id}") <= order.gross.amount_minor

    @invariant()
    def no_money_is_taken_unscreened_or_against_a_verdict(self) -> None:
        stored = self.engine.store.tables
        for intent_id in self.cards.captures:
            order = stored.orders[intent_id.removeprefix("pi_")]
            assert order.screening_id is not None, f"{order.id} is captured unscreened"
            verdict = stored.screenings[order.screening_id][1]
            assert verdict.outcome is not Outcome.BLOCK, f"{order.id} is captured all the same"

    @invariant()
    def tokens_and_money_back_are_never_both_our_doing(self) -> None:
        for order in self.engine.orders.values():
            if self.engine.paid(order):
                made = self.cards.refunds.get(f"pi_{order.id}", [])
                assert all(key == "by hand" for key, _ in made), f"{order.id} is paid and refunded"

    def teardown(self) -> None:
        """All trouble ends: every order ends, and all three books say the same."""
        try:
            if hasattr(self, "engine"):
                self.run(self._end())
        finally:
            self.runner.close()

    async def _end(self) -> None:
        engine, self.unheard = self.engine, None
        for _ in range(120):
            await sweep(self.workers[0], NOW - timedelta(days=1))
            await self._work(self.workers[0])
            engine.chain.mine()
            engine.clock.pass_s(600)
            self.cards.lapse(engine.clock.now())
            self._decide_the_held()
            if all(order.status in ENDED for order in self._orders()):
                break
        assert {o.id: o.status for o in self._orders() if o.status not in ENDED} == {}
        for _ in range(3):  # what was told only now about orders that had ended before
            await sweep(self.workers[0], NOW - timedelta(days=1))
            engine.clock.pass_s(DAY_S)
            await self._work(self.workers[0])
        await self._audit()

    def _decide_the_held(self) -> None:
        """A paid order that a list holds waits for an officer, for as long as it takes."""
        for case in list(self.engine.store.tables.cases.values()):
            if case.status in STANDING:
                now = self.engine.clock.now()
                self.engine.store.save_case(reject(case, "ofc_z", "held", now), now)

    async def _audit(self) -> None:
        engine, kept = self.engine, 0
        await engine.check()
        for order in self._orders():
            intent = self.cards.intents.get(f"pi_{order.id}")
            assert intent is None or intent.status in (
                IntentStatus.SUCCEEDED,
                IntentStatus.CANCELED,
            )
            received = 0 if intent is None else intent.received_minor
            given = self.cards.given(f"pi_{order.id}")
            if order.status is Status.COMPLETED:
                assert (engine.paid(order), received) == (
                    order.token.amount_minor,
                    order.gross.amount_minor,
                )
            else:
                assert (engine.paid(order), received - given) == (0, 0), (order.id, order.status)
            kept += received - given
        assert await engine.store.totals(Account.STRIPE, USD) == kept
        for row in await engine.store.balances(engine.scene.tenant):
            assert (row.debits_pending, row.credits_pending) == (0, 0), row

    def _orders(self) -> Sequence[Order]:
        return list(self.engine.store.tables.orders.values())


CardBusiness.TestCase.settings = settings(
    max_examples=int(os.environ.get("MACHINE_EXAMPLES", "60")),
    stateful_step_count=int(os.environ.get("MACHINE_STEPS", "50")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestCardBusiness = CardBusiness.TestCase
