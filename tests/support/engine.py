"""The settlement engine on fakes: the memory store, a simulated chain, a clock moved by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from bridge.prices.static import StaticPrices, parse_prices
from bridge.storage.memory import MemoryStore
from chain.simulated import VAULT, SimulatedChain
from settlement.batch import Batch
from settlement.errors import PaymentRefused
from settlement.ids import new_id
from settlement.ledger.accounts import PLATFORM, Account
from settlement.money import Money
from settlement.order import Order, Status
from settlement.pipeline import settle
from settlement.ports.bundle import Ports
from settlement.ports.gas import Decision, Outlook, Waiting
from settlement.ports.payment import Intent, IntentStatus, ProviderEvent, Refund, RefundStatus
from settlement.ports.screening import Outcome, Reason, Subject, Verdict
from settlement.quote import Speed
from settlement.schedule import Policy
from tests.support.builders import ETH, NOW, Scene

RICH_WEI = 10**18
COINS_WEI = 3 * 10**16


class HandClock:
    """Moves when it is told to."""

    def __init__(self) -> None:
        self.moment = NOW

    def now(self) -> datetime:
        return self.moment

    def pass_s(self, seconds: int) -> None:
        self.moment += timedelta(seconds=seconds)


class Nobody:
    """A screening that vetoes only who was named to it."""

    def __init__(self) -> None:
        self.named: set[str] = set()

    async def screen(self, subject: Subject) -> Verdict:
        outcome = Outcome.BLOCK if subject.wallet in self.named else Outcome.CLEAR
        reasons = (Reason("list.test", "named"),) if subject.wallet in self.named else ()
        return Verdict(outcome, reasons, {"test": "1"})

    async def vetoed(
        self, _network: str, wallets: Sequence[str], _tenant_id: str
    ) -> frozenset[str]:
        return frozenset(self.named.intersection(wallets))


class NoOpinion:
    """A gas port without a forecast."""

    async def quote_fee_wei(self, network: str, speed: Speed) -> int:
        raise NotImplementedError(network)

    async def outlook(self, network: str, waiting: Sequence[Waiting]) -> Outlook | None:  # noqa: ARG002
        return None

    async def decided(self, decision: Decision) -> None: ...


@dataclass
class Cards:
    """A payment provider. Intents that it has not made were captured in full somewhere else."""

    amount_minor: int = 10_000
    intents: dict[str, Intent] = field(default_factory=dict)
    refunds: dict[str, list[tuple[str, Refund]]] = field(default_factory=dict)
    events: list[ProviderEvent] = field(default_factory=list)
    notes: dict[str, dict[str, str]] = field(default_factory=dict)

    async def create_intent(self, order: Order) -> Intent:
        intent_id = f"pi_{order.id}"
        made = Intent(
            id=intent_id,
            status=IntentStatus.REQUIRES_PAYMENT_METHOD,
            amount_minor=order.gross.amount_minor,
            currency=order.gross.asset.code,
            order_id=order.id,
            client_secret=f"{intent_id}_secret",
        )
        return self.intents.setdefault(intent_id, made)

    def pay(self, intent_id: str, now: datetime) -> None:
        """The customer's bank holds the money."""
        self._change(
            intent_id,
            status=IntentStatus.REQUIRES_CAPTURE,
            charge_id=f"ch_{intent_id}",
            authorized_at=now,
            capture_before=now + timedelta(days=7),
        )

    async def retrieve_intent(self, intent_id: str) -> Intent:
        given = sum(refund.amount_minor for _key, refund in self.refunds.get(intent_id, []))
        elsewhere = Intent(
            id=intent_id,
            status=IntentStatus.SUCCEEDED,
            amount_minor=self.amount_minor,
            currency="USD",
            order_id=None,
            received_minor=self.amount_minor,
        )
        return replace(self.intents.get(intent_id, elsewhere), refunded_minor=given)

    async def capture(self, intent_id: str, amount_minor: int, key: str) -> Intent:
        intent = self.intents[intent_id]
        if intent.status is IntentStatus.SUCCEEDED:
            return intent
        if intent.status is not IntentStatus.REQUIRES_CAPTURE:
            raise PaymentRefused(f"{key}: {intent.status}")
        taken = {"status": IntentStatus.SUCCEEDED, "received_minor": amount_minor}
        return self._change(intent_id, **taken)

    async def cancel(self, intent_id: str, key: str) -> Intent:
        if self.intents[intent_id].status is IntentStatus.SUCCEEDED:
            raise PaymentRefused(f"{key}: captured")
        return self._change(intent_id, status=IntentStatus.CANCELED)

    async def refund(self, intent_id: str, amount_minor: int, order_id: str, key: str) -> Refund:
        made = self.refunds.setdefault(intent_id, [])
        for known, refund in made:
            if known == key:
                return refund
        received = (await self.retrieve_intent(intent_id)).received_minor
        if sum(refund.amount_minor for _key, refund in made) + amount_minor > received:
            raise PaymentRefused(f"{order_id}: more than was charged")
        made.append((key, Refund(new_id("re"), RefundStatus.SUCCEEDED, amount_minor)))
        return made[-1][1]

    async def refunds_of(self, intent_id: str) -> Sequence[Refund]:
        return [refund for _key, refund in self.refunds.get(intent_id, [])]

    async def annotate(self, intent_id: str, metadata: Mapping[str, str], key: str) -> None:  # noqa: ARG002
        self.notes.setdefault(intent_id, {}).update(metadata)

    async def intents_since(self, created_at: datetime) -> Sequence[Intent]:  # noqa: ARG002
        return list(self.intents.values())

    async def events_since(self, created_at: datetime) -> Sequence[ProviderEvent]:  # noqa: ARG002
        return list(self.events)

    def _change(self, intent_id: str, **changes: Any) -> Intent:
        self.intents[intent_id] = replace(self.intents[intent_id], **changes)
        return self.intents[intent_id]


class Notes:
    """A log that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def info(self, event: str, **facts: object) -> None:
        self.lines.append(("info", event, facts))

    def warning(self, event: str, **facts: object) -> None:
        self.lines.append(("warning", event, facts))

    def error(self, event: str, **facts: object) -> None:
        self.lines.append(("error", event, facts))

    def count(self, event: str) -> int:
        return sum(name == event for _level, name, _facts in self.lines)


@dataclass
class Engine:
    """One deployment in memory. ``wallets`` remembers what each order is owed and where."""

    store: MemoryStore
    chain: SimulatedChain
    clock: HandClock
    scene: Scene
    ports: Ports
    cards: Cards
    log: Notes
    screening: Nobody
    orders: dict[str, Order] = field(default_factory=dict)
    customers_pay: bool = True

    async def accepted(self) -> Order:
        """A new order to a wallet of its own; nobody has paid, its tokens are in the vault."""
        wallet = f"0x{len(self.orders) + 1:040x}"
        order = await self.scene.order(wallet=wallet)
        await self.scene.fund(order.token.amount_minor)
        self.chain.give(VAULT, tokens=order.token.amount_minor)
        self.orders[order.id] = order
        return order

    async def order(self, gross_minor: int = 10_000) -> Order:
        """A captured order to a wallet of its own, with its tokens in the vault."""
        order = await self.scene.captured(**self._next(), gross_minor=gross_minor)
        self.chain.give(VAULT, tokens=order.token.amount_minor)
        self.orders[order.id] = order
        return order

    async def coins(self, amount_wei: int = COINS_WEI) -> Order:
        """A captured order of native coin, to a wallet that nobody has used."""
        order = await self.scene.captured(**self._next(), token=Money(amount_wei, ETH))
        self.chain.give(VAULT, coins=amount_wei)
        self.orders[order.id] = order
        return order

    def _next(self) -> dict[str, str]:
        """A wallet of its own, and an id that sorts as it came: what waits as long is claimed in
        the order of ids, and a story told twice must go the same way."""
        number = len(self.orders) + 1
        return {"wallet": f"0x{number:040x}", "order_id": f"ord_{self.scene.tenant}_{number:04}"}

    async def now(self, order: Order) -> Order:
        stored = await self.store.get(order.id)
        assert stored is not None
        return stored

    def batches(self) -> list[Batch]:
        return list(self.store.tables.batches.values())

    def with_policy(self, **changes: Any) -> None:
        self.ports = replace(self.ports, policy=replace(self.ports.policy, **changes))

    def another_worker(self) -> Ports:
        """The same deployment, seen by another process."""
        return replace(self.ports, worker=new_id("wrk"))

    async def step(self, seconds: int = 2, blocks: int = 1) -> None:
        """One round, some blocks, some time."""
        await settle(self.ports)
        self.chain.mine(blocks)
        self.clock.pass_s(seconds)

    async def until_quiet(self, limit: int = 60) -> None:
        """Steps until no batch is open and no order waits; raises if that never comes."""
        for _ in range(limit):
            await self.step()
            stored = self.store.tables.orders.values()
            if all(order.status in (Status.COMPLETED, Status.REFUND_PENDING) for order in stored):
                return
        raise AssertionError([(o.id, o.status, o.hold_reason) for o in stored])

    def paid(self, order: Order) -> int:
        """What the order's wallet holds on the chain of what was bought."""
        state = self.chain.state
        return (state.coins if order.token.asset == ETH else state.tokens).get(order.wallet, 0)

    async def check(self) -> None:
        """Everybody got exactly what is owed or nothing; the books balance and equal the chain."""
        for order in self.orders.values():
            stored, paid = await self.now(order), self.paid(order)
            assert paid in (0, order.token.amount_minor), f"{order.id} got {paid}"
            if stored.status is Status.COMPLETED:
                assert paid == order.token.amount_minor, f"{order.id} completed without tokens"
        totals: dict[str, int] = {}
        for tenant in (self.scene.tenant, PLATFORM):
            for row in await self.store.balances(tenant):
                net = row.debits_posted - row.credits_posted
                net += row.debits_pending - row.credits_pending
                totals[row.asset.id] = totals.get(row.asset.id, 0) + net
        assert not any(totals.values()), totals

    async def check_coins(self) -> None:
        """Vault and lanes hold the native coin that the books say, once nothing is on its way."""
        coins, lanes = self.chain.state.coins, await self.store.lanes("local")
        assert await self.store.totals(Account.VAULT, ETH) == coins.get(VAULT, 0)
        spent = sum(coins[row.lane.address] - self.chain.given[row.lane.address] for row in lanes)
        assert await self.store.totals(Account.HOT_WALLET, ETH) == spent


async def an_engine(lanes: int = 1, *, policy: Policy | None = None, **chain: Any) -> Engine:
    """A running deployment with funded lanes ``0xlane0``, ``0xlane1``, …"""
    clock, log = HandClock(), Notes()
    store = MemoryStore(clock)
    simulated = SimulatedChain(**chain)
    cards, screening = Cards(), Nobody()
    ports = Ports(
        store=store,
        payment=cards,
        screening=screening,
        chains={"local": simulated},
        gas=NoOpinion(),
        prices=StaticPrices(parse_prices("DUSD=1.00 USD,ETH=3000.00 USD"), clock),
        clock=clock,
        policy=policy or Policy(),
        log=log,
    )
    await store.register_network("local", await simulated.identity(), clock.now())
    for number in range(lanes):
        simulated.give(f"0xlane{number}", coins=RICH_WEI)
        await store.register_lane("local", f"0xlane{number}", 0)
        simulated.add_lane(f"0xlane{number}")
    return Engine(store, simulated, clock, Scene(store), ports, cards, log, screening)
