"""``tidegate settlement rebuild``: from a restored backup back to what really happened.

Four steps, each of which can be repeated, so that a crash anywhere is mended by running it again:

1. *Quarantine*: every nonce that a lost signature may still use is used up by a transaction that
   does nothing, and the command waits until that is final. From then on nothing that we forgot
   can be mined. What that cost, now or in a run that was cut short, is read from the chain.
2. *Orders*: those that only the provider remembers are written down again from its metadata.
3. *Batches*: what vault and lanes paid is read from the chain; each batch's orders are proven by
   its root and walked to their true status. Batches that paid nobody give their orders back.
4. *Counters*: batch ids and nonces go on behind everything that the chain knows.

The network stays stopped until all of it is done, and for a person when anything is left over.
"""

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bridge.storage.rebuilding import Rebuilding
from settlement.batch import BatchKind, Lane, batch_call
from settlement.batching.conclude import has_paid
from settlement.errors import (
    ChainError,
    ChainUnknown,
    InvariantBroken,
    NetworkStopped,
    TidegateError,
)
from settlement.facts import check_mac, lost_order
from settlement.ids import OrderId, TxRef
from settlement.ledger import journal
from settlement.ledger.accounts import PLATFORM
from settlement.money import Asset, Money
from settlement.order import Order, Status
from settlement.ports.bundle import Ports
from settlement.ports.chain import ChainHistory, ChainPort, Fees, PaidBatch, SelfTransfer, Sent
from settlement.ports.payment import Intent, IntentStatus
from settlement.ports.screening import Subject
from settlement.rebuild import DONE, Settled, assign, is_consistent, judged, step
from settlement.screening import judge
from settlement.stages.identity import IN_FLIGHT, replaced
from settlement.transitions import Change

REASON = "being rebuilt after a restored backup"
QUARANTINE_LIMIT_S = 3_600.0
_POLL_S = 0.3
_BID_AGAIN_S = 30.0
_STEPS_MAX = 12


@dataclass
class Report:
    """What was done.

    ``left`` is what a person has to look at before the network may start, ``notes`` what one
    should know.
    """

    quarantined: int = 0
    written_down: list[OrderId] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    moved: int = 0
    released: int = 0
    left: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """The same in numbers, for the audit trail."""
        lists = {name: len(rows) for name, rows in vars(self).items() if isinstance(rows, list)}
        steps = {"quarantined": self.quarantined, "moved": self.moved, "released": self.released}
        return {**steps, **lists}


class Rebuild:
    """One network's rebuilding. ``fiat`` are the currencies that intents may be in, ``facts_keys``
    what their metadata must be signed with."""

    def __init__(
        self,
        ports: Ports,
        rows: Rebuilding,
        history: ChainHistory,
        network: str,
        fiat: Sequence[Asset],
        facts_keys: Sequence[str] = (),
    ) -> None:
        self._ports = ports
        self._rows = rows
        self._history = history
        self._network = network
        self._chain: ChainPort = ports.chains[network]
        self._fiat = {asset.code: asset for asset in fiat}
        self._facts_keys = facts_keys
        self._intents: dict[OrderId, Intent] = {}
        self.report = Report()

    async def run(self, since: datetime) -> Report:
        """All four steps; ``since`` is before the backup was taken. Starts the network again when
        nothing is left over.

        Raises kinds of :class:`~settlement.errors.ChainError` and
        :class:`~settlement.errors.PaymentError`: nothing is lost, run it again; and
        :class:`~settlement.errors.NetworkStopped` for another chain than the one we paid on.
        """
        await self._ports.store.stop_network(self._network, REASON, self._now())
        await self._check_chain()
        lanes = await self._lanes()
        for lane in lanes:
            await self._quarantine(lane)
            await self._book_lost(lane)
        await self._write_down(since)
        paid = list(await self._history.paid_batches())
        for lane in lanes:
            unknown = await self._rows.explained_until(lane)
            sent = await self._history.sent_by(lane.address, *unknown)
            paid += [each.single for each in sent if each.single is not None]
            await self._book_unexplained(lane, sent, {batch.transaction.ref for batch in paid})
        paid.sort(key=lambda batch: batch.inclusion.block_number)
        await self._settle(paid)
        if not self.report.left:  # or what such a batch paid would be taken for unpaid
            await self._walk_unpaid()
        await self._rows.past_batch_ids(max((batch.batch_id for batch in paid), default=1))
        if not self.report.left:  # or the next run would not look at the nonces of what is left
            for lane in lanes:
                await self._rows.count_from(lane, await self._final_nonce(lane))
            await self._rows.start(self._network, self._now())
        return self.report

    def _now(self) -> datetime:
        return self._ports.clock.now()

    async def _check_chain(self) -> None:
        state = await self._ports.store.network(self._network)
        problem = None if state is None else await replaced(self._chain, state)
        if problem is not None:
            raise NetworkStopped(f"{problem}: what it says about payments says nothing about ours")

    async def _lanes(self) -> list[Lane]:
        """All of them; one that was added since the backup is known by the configuration alone."""
        store = self._ports.store
        known = {state.lane.address for state in await store.lanes(self._network)}
        for address in self._chain.lanes:
            if address not in known:
                await store.register_lane(self._network, address, 0)
        return [state.lane for state in await store.lanes(self._network)]

    async def _book_lost(self, lane: Lane) -> None:
        """What open batches of the backup spent and no paid batch stands for: reverted, cancelled,
        calls that pay no order. They are given up below."""
        for batch in await self._ports.store.open_batches(lane):
            refs = [attempt.transaction.ref for attempt in batch.attempts]
            for found in await self._chain.inclusions(refs, complete=True) if refs else ():
                if batch.kind is BatchKind.CALL or not has_paid(batch, found):
                    await self._book_gas(f"batch:{batch.id}", found.fee_paid_wei)

    async def _book_unexplained(
        self, lane: Lane, sent: Sequence[Sent], paid: Collection[TxRef]
    ) -> None:
        """The gas of whatever else the lane sent: our own quarantine, also that of an earlier run,
        and cancellations, calls and reverts that were forgotten. Nothing that a batch explains,
        in our rows or by what it paid: that is booked as the batch's."""
        ours = await self._rows.signed_here([each.ref for each in sent])
        strange = {each.ref: each for each in sent if each.ref not in paid and each.ref not in ours}
        found = await self._chain.inclusions(sorted(strange), complete=True) if strange else ()
        if len(found) != len(strange):
            raise ChainUnknown(f"receipts of what {lane.address} sent are not to be had yet")
        for inclusion in found:
            await self._book_gas(f"quarantine:{inclusion.ref}", inclusion.fee_paid_wei)
            if not strange[inclusion.ref].idle:
                self.report.notes.append(
                    f"{inclusion.ref} of lane {lane.address} paid no order: its gas is booked, "
                    "look at what else it did"
                )

    async def _book_gas(self, key: str, spent_wei: int) -> None:
        spent = Money(spent_wei, self._chain.native)
        await self._ports.store.book(PLATFORM, key, journal.gas_spent(spent), self._now())

    # 1 ----------------------------------------------------------------------------------------

    async def _quarantine(self, lane: Lane) -> None:
        """A lane never has more open batches than its depth: as many nonces are used up, and at
        least those that the backup itself has given out."""
        first = await self._final_nonce(lane)
        end = max(first + self._ports.policy.lane_depth, lane.next_nonce)
        bids: dict[int, tuple[Fees, float]] = {}
        deadline = time.monotonic() + QUARANTINE_LIMIT_S
        while (reached := await self._final_nonce(lane)) < end:
            if time.monotonic() > deadline:
                raise ChainError(f"nonce {reached} of {lane.address} is not used up after an hour")
            newest = await self._chain.nonce(lane.address)
            for nonce in range(newest, end):
                await self._use_up(lane, nonce, bids)
            await asyncio.sleep(_POLL_S)
        self.report.quarantined += end - first

    async def _final_nonce(self, lane: Lane) -> int:
        head = await self._chain.head()
        return await self._chain.nonce(lane.address, head.final_number)

    async def _use_up(self, lane: Lane, nonce: int, bids: dict[int, tuple[Fees, float]]) -> None:
        """Bid for the nonce, and more as long as something else stands in the way."""
        before = bids.get(nonce)
        if before is not None and time.monotonic() < before[1] + _BID_AGAIN_S:
            return
        replaces = before[0] if before else None
        signed = await self._chain.sign(lane.address, SelfTransfer(), nonce, replaces, None)
        # Whatever comes of it, the next bid is higher than this one.
        bids[nonce] = (signed.fees, time.monotonic())
        try:
            await self._chain.send(signed.raw)
        except ChainError as error:
            bids[nonce] = (signed.fees, time.monotonic() - _BID_AGAIN_S)
            self._ports.log.warning("quarantine_not_sent", nonce=nonce, error=str(error))

    # 2 ----------------------------------------------------------------------------------------

    async def _write_down(self, since: datetime) -> None:
        if not self._facts_keys:
            self.report.notes.append(
                "what Stripe's metadata says of lost orders is not signed: compare them with what "
                "was ordered; see TIDEGATE_FACTS_KEYS"
            )
        found = await self._ports.payment.intents_since(since)
        await self._name_strangers(found)
        intents = [
            intent
            for intent in found
            if intent.order_id is not None and intent.facts.get("network") == self._network
        ]
        known = await self._rows.known([str(intent.order_id) for intent in intents])
        for intent in intents:
            order_id = str(intent.order_id)
            if intent.status is IntentStatus.SUCCEEDED:
                self._intents[order_id] = intent
            if order_id not in known:
                await self._write(intent)

    async def _name_strangers(self, found: Sequence[Intent]) -> None:
        """Money that was taken, and nothing says for what: perhaps for one of our orders."""
        bare = [
            intent
            for intent in found
            if intent.received_minor > 0 and not (intent.order_id and "network" in intent.facts)
        ]
        known = await self._rows.known([str(intent.order_id) for intent in bare])
        for intent in bare:
            if intent.order_id not in known:
                self.report.notes.append(
                    f"intent {intent.id} took {intent.received_minor} minor units of "
                    f"{intent.currency} and has no facts of an order: not ours, or edited"
                )

    async def _write(self, intent: Intent) -> None:
        try:
            gross = Money(intent.amount_minor, self._fiat[intent.currency])
            check_mac(intent.facts, gross, self._facts_keys)
            order = lost_order(intent.facts, intent.id, gross)
        except (KeyError, InvariantBroken) as error:
            self.report.left.append(f"intent {intent.id} is no order that can be read: {error}")
            return
        if await self._rows.write_down(order, self._now()):
            self.report.written_down.append(order.id)
            if "escrow_id" in intent.facts:
                self.report.notes.append(
                    f"{order.id} pays an escrow whose terms are lost: refunded unless it was paid"
                )
        else:
            self.report.left.append(f"intent {intent.id}: there is no tenant {order.tenant_id}")

    # 3 ----------------------------------------------------------------------------------------

    async def _settle(self, paid: Sequence[PaidBatch]) -> None:
        ids = [batch.batch_id for batch in paid]
        self.report.released = await self._rows.release_open(self._network, ids, self._now())
        done = await self._rows.decided(self._network)
        for batch in paid:
            if batch.batch_id not in done:
                await self._settle_one(batch)

    async def _settle_one(self, paid: PaidBatch) -> None:
        candidates = await self._rows.candidates(paid, self._network)
        try:
            settled = await self._assign(paid, candidates)
        except InvariantBroken as error:
            self.report.left.append(str(error))
            return
        for index, order in enumerate(settled.orders):
            if not is_consistent(order, index not in paid.inclusion.skipped):
                self.report.left.append(
                    f"{order.id} is {order.status} here, yet batch {paid.batch_id} holds it"
                )
                return
        owed = sum(
            amount
            for index, (_, amount) in enumerate(paid.rows)
            if index not in paid.inclusion.skipped
        )
        if paid.inclusion.paid_minor != owed:
            self.report.left.append(
                f"batch {paid.batch_id} owes {owed} minor units, "
                f"the vault paid {paid.inclusion.paid_minor}"
            )
            return
        if not await self._rows.can_record(paid, self._network):
            self.report.left.append(f"batch {paid.batch_id} is known with another root or lane")
            return
        arrived = [await self._walk(order.id, settled) for order in settled.orders]
        if not all(arrived):
            return  # the next run walks the others
        for order in settled.orders:
            self._intents.pop(order.id, None)
        await self._book(paid, owed)
        # Last, since a final batch is not looked at again.
        await self._rows.record(paid, self._network, self._now())
        self.report.batches.append(paid.batch_id)

    async def _book(self, paid: PaidBatch, owed_minor: int) -> None:
        """What the platform paid for it."""
        key = f"batch:{paid.batch_id}"
        await self._book_gas(key, paid.inclusion.fee_paid_wei)
        if paid.single:
            booking = journal.advanced(Money(owed_minor, self._chain.native))
            await self._ports.store.book(PLATFORM, key, booking, self._now())

    async def _assign(self, paid: PaidBatch, candidates: Sequence[Order]) -> Settled:
        """With all orders that it may have paid; or else with those alone whose money was taken."""

        def root(orders: Sequence[Order]) -> str:
            return self._root(paid, orders)

        try:
            return assign(paid, candidates, root)
        except InvariantBroken:
            intents = [await self._intent(order) for order in candidates]
            pairs = zip(candidates, intents, strict=True)
            taken = [o for o, i in pairs if i is not None and i.received_minor > 0]
            if len(taken) == len(candidates):
                raise
            return assign(paid, taken, root)

    def _root(self, paid: PaidBatch, orders: Sequence[Order]) -> str:
        return self._chain.batch_root(batch_call(paid.batch_id, paid.asset, orders))

    async def _walk_unpaid(self) -> None:
        """What the provider took since then, and what our own rows still want to pay: it may have
        been given back meanwhile."""
        waiting = await self._ports.store.unfinished(self._network, IN_FLIGHT)
        for order_id in dict.fromkeys([*self._intents, *(order.id for order in waiting)]):
            await self._walk(order_id, None)

    async def _walk(self, order_id: OrderId, settled: Settled | None) -> bool:
        """Step by step to what the world says; each step is a transaction of its own. ``False``:
        it did not arrive, and is left over."""
        store, why = self._ports.store, f"did not arrive in {_STEPS_MAX} steps"
        for _ in range(_STEPS_MAX):
            order = await store.get(order_id)
            if order is None:
                raise InvariantBroken(f"{order_id} is gone")
            intent = await self._intent(order)
            if intent is None and settled is not None and order.status not in DONE:
                why = "was paid, and its own payment is not among those since --since"
                break
            if intent is None or (settled is None and intent.status is not IntentStatus.SUCCEEDED):
                return True
            change = step(order, intent, settled, self._now())
            if change is None:
                return True
            try:
                if settled is None and change.to is Status.CLEARED:
                    change = await self._judge(order)
                unmatched = await store.apply_many([change])
            except TidegateError as error:
                why = f"cannot become {change.to}: {error}"
                break
            self.report.moved += not unmatched
        self.report.left.append(f"{order_id} {why}")
        return False

    async def _judge(self, order: Order) -> Change:
        """By today's lists; raises :class:`~settlement.errors.ScreeningUnavailable`."""
        now, verdict = self._now(), await judge(self._ports.screening, order)
        subject = Subject.of(order)
        screening_id = await self._ports.store.save_screening(subject, verdict, now)
        return judged(order, verdict, screening_id, now)

    async def _intent(self, order: Order) -> Intent | None:
        """Its own intent where it has one: metadata can be edited to name any order."""
        known = self._intents.get(order.id)
        own = order.payment_intent_id
        if own is not None and (known is None or known.id != own):
            return await self._ports.payment.retrieve_intent(own)
        return known
