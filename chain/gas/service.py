"""The gas port, answered from each network's own blocks as they come.

A worker runs this beside its stages: :meth:`GasService.refresh` follows every head, learns from
it, and leaves what it thinks in the database for those who never talk to a chain. Whatever is
missing or in doubt (no node, no history, a long silence) ends in "no opinion": send now.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from chain.gas.artifact import BadArtifact, Model
from chain.gas.history import History, News
from chain.gas.market import Market
from chain.gas.retrain import open_model
from chain.network import Network
from settlement.errors import ChainError
from settlement.ports.clock import Clock
from settlement.ports.gas import Decision, Outlook, Waiting
from settlement.ports.notification import Log, NullLog
from settlement.quote import Speed

REPLAYED_BLOCKS = 1_200
"""What a restart learns from again: enough for the regressions, seconds of work."""
_SILENCE_BLOCKS = 10
_SILENCE_MS = 60_000
_PATIENCE_S = 2.0
_LOOK_AGAIN_MS = 3_000
_L1_EVERY = timedelta(minutes=1)


class NoteStore(Protocol):
    """Where outlooks and decisions are left, and promoted models lie (``chain.gas.store``)."""

    async def save_outlook(
        self, network: str, head_number: int, seen_at: datetime, content: Mapping[str, Any]
    ) -> None: ...

    async def note(self, decision: Decision) -> None: ...

    async def score(self, network: str, now: datetime, block_ms: int) -> int: ...

    async def promoted(self, network: str) -> str | None: ...

    async def model(self, network: str, digest: str) -> dict[str, Any]: ...


class L1Share(Protocol):
    """What a rollup's transactions pay for L1; ``chain.evm.l1_share`` has the real ones."""

    async def per_payout_wei(self) -> int:
        """One row's part of a batch. Raises kinds of :class:`~settlement.errors.ChainError`."""
        ...


@dataclass(slots=True)
class _Followed:
    """One network under way. ``market`` is ``None`` until its history has been replayed."""

    network: Network
    history: History
    looking: asyncio.Lock
    market: Market | None = None
    looked_at: datetime | None = None
    failing: bool = False
    promoted: str | None = None
    l1_share_wei: int | None = None
    l1_asked_at: datetime | None = None


class GasService:
    """Implements ``settlement.ports.gas``. ``waits`` names the networks where orders may wait for
    a better fee; on the others fees are followed, and everything leaves at once."""

    def __init__(
        self,
        histories: Mapping[str, tuple[Network, History]],
        store: NoteStore,
        clock: Clock,
        load_model: Callable[[], Model],
        *,
        waits: frozenset[str],
        l1_shares: Mapping[str, L1Share] | None = None,
        log: Log | None = None,
    ) -> None:
        self._followed = {
            name: _Followed(network, history, asyncio.Lock())
            for name, (network, history) in histories.items()
        }
        self._store = store
        self._clock = clock
        self._load_model = load_model
        self._waits = waits
        self._l1_shares = l1_shares or {}
        self._looks: set[asyncio.Task[None]] = set()
        self._log = log or NullLog()
        self._noted: dict[tuple[str, str], str] = {}

    # The port ------------------------------------------------------------------------------

    async def quote_fee_wei(self, network: str, speed: Speed) -> int:
        one = self._followed[network]
        market = self._trusted(one)
        if market is None or not self._knows_l1(one):
            return one.network.gas_per_payout * one.network.static_fee_wei
        gas_wei = one.network.gas_per_payout * market.speed_fees_wei()[speed]
        return gas_wei + (one.l1_share_wei or 0)

    async def outlook(self, network: str, waiting: Sequence[Waiting]) -> Outlook | None:
        one = self._followed.get(network)
        if one is None or network not in self._waits:
            return None
        await self._look_soon(one)
        market = self._trusted(one)
        if market is None or market.head is None:
            return None
        bounds = tuple(market.bounds(w.since.timestamp(), w.blocks_left) for w in waiting)
        return Outlook(market.head.number, market.next_fee_wei, self._next_head(one), bounds)

    async def decided(self, decision: Decision) -> None:
        # A wait is decided anew at every block; only a new reason is news.
        pair = (decision.network, decision.asset)
        if not decision.sent and self._noted.get(pair) == decision.reason:
            return
        try:
            await self._store.note(decision)
            self._noted[pair] = "" if decision.sent else decision.reason
        except Exception as error:  # the payment goes on without its note
            self._log.warning("decision_not_noted", error=repr(error))

    # Following -----------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Look at every network's head once; never raises, since the next look tries again."""
        await asyncio.gather(*(self._look(one) for one in self._followed.values()))

    async def score(self) -> None:
        """Hold past decisions against hindsight, and notice a promotion; never raises."""
        for name, one in self._followed.items():
            try:
                await self._store.score(name, self._clock.now(), one.network.block_ms)
                if one.market and await self._store.promoted(name) != one.promoted:
                    one.market = None  # the next look begins again, with the new model
            except Exception as error:
                self._log.warning("decisions_not_scored", network=name, error=repr(error))

    def market(self, network: str) -> Market | None:
        """What is known of the network, once its history has been read."""
        return self._followed[network].market

    async def _look_soon(self, one: _Followed) -> None:
        """Before a decision, unless a look is fresh or under way: a decision waits for no node."""
        if one.looking.locked() or one.market is None:
            return
        age_ms = min(one.network.block_ms // 4, _LOOK_AGAIN_MS)
        if one.looked_at and self._clock.now() - one.looked_at < timedelta(milliseconds=age_ms):
            return
        # Never cancelled half-way: what the history took in, the market must learn.
        look = asyncio.create_task(self._look(one))
        self._looks.add(look)
        look.add_done_callback(self._looks.discard)
        await asyncio.wait({look}, timeout=_PATIENCE_S)

    async def _look(self, one: _Followed) -> None:
        if one.looking.locked():
            return
        async with one.looking:
            try:
                await self._learn(one, await one.history.look())
            except ChainError as error:
                if not one.failing:
                    self._log.warning("gas_unknown", network=one.network.name, error=str(error))
                one.failing = True
            except Exception as error:  # timing is worth no order
                self._log.error("gas_failed", network=one.network.name, error=repr(error))
                one.market = None
            else:
                one.failing = False
                one.looked_at = self._clock.now()

    async def _learn(self, one: _Followed, news: News) -> None:
        market = one.market
        if market is None or news.is_break:
            rows = await one.history.known(REPLAYED_BLOCKS)
            market = Market(await self._model_of(one), one.network.block_ms)
            await asyncio.to_thread(market.replay, rows, news.next_fee_wei)
            one.market = market
        elif news.blocks:
            market.replay(news.blocks, news.next_fee_wei)
        else:
            return
        await self._tell(one, market)

    async def _model_of(self, one: _Followed) -> Model:
        """What was promoted for this network; where that does not open, what is shipped."""
        one.promoted = await self._store.promoted(one.network.name)
        if one.promoted is not None:
            content = await self._store.model(one.network.name, one.promoted)
            try:
                return await asyncio.to_thread(open_model, content)
            except BadArtifact as error:
                self._log.error("gas_model_unusable", network=one.network.name, error=str(error))
        return await asyncio.to_thread(self._load_model)

    async def _tell(self, one: _Followed, market: Market) -> None:
        if market.head is None:
            return
        await self._ask_l1(one)
        if not self._knows_l1(one):
            return
        content = {
            **market.report(),
            "l1_share_wei": one.l1_share_wei or 0,
            "waits": one.network.name in self._waits,
        }
        number = market.head.number
        await self._store.save_outlook(one.network.name, number, self._clock.now(), content)

    async def _ask_l1(self, one: _Followed) -> None:
        """Now and then: what a payout pays for the bytes that a rollup writes down elsewhere. Until
        it is known no outlook is told, since a quote without it would be far too low."""
        source, now = self._l1_shares.get(one.network.name), self._clock.now()
        is_fresh = one.l1_asked_at and now - one.l1_asked_at < _L1_EVERY
        if source is None or (is_fresh and self._knows_l1(one)):
            return
        one.l1_asked_at = now
        try:
            one.l1_share_wei = await source.per_payout_wei()
        except ChainError as error:
            self._log.warning("l1_share_unknown", network=one.network.name, error=str(error))

    def _knows_l1(self, one: _Followed) -> bool:
        return one.l1_share_wei is not None or one.network.name not in self._l1_shares

    def _trusted(self, one: _Followed) -> Market | None:
        """The market, unless its chain has been silent for long."""
        if one.market is None or one.looked_at is None:
            return None
        silence_ms = max(_SILENCE_BLOCKS * one.network.block_ms, _SILENCE_MS)
        is_old = self._clock.now() - one.looked_at > timedelta(milliseconds=silence_ms)
        return None if is_old else one.market

    def _next_head(self, one: _Followed) -> datetime:
        """When the next head is due by its predecessor's own time, and never in the past."""
        now, step = self._clock.now(), timedelta(milliseconds=one.network.block_ms)
        head = one.market.head if one.market else None
        due = now if head is None else datetime.fromtimestamp(head.time_s, UTC) + step
        return due if now < due <= now + step else now + step
