"""What those see who never talk to a chain: the outlook that a worker left, and what came of it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from chain.gas.static import StaticGas
from chain.network import Network
from settlement.ports.clock import Clock
from settlement.quote import Speed

FRESH = timedelta(minutes=2)
_KEPT = timedelta(seconds=1)


class OutlookStore(Protocol):
    """Where workers leave outlooks; ``chain.gas.store`` has the real one."""

    async def outlook(self, network: str) -> tuple[datetime, dict[str, Any]] | None: ...


class GasReader(StaticGas):
    """The gas port of the API. Quotes by the newest outlook; by the network's own figures while no
    worker has left one for :data:`FRESH`, and on local chains, whose fees are no market."""

    def __init__(self, networks: Mapping[str, Network], store: OutlookStore, clock: Clock) -> None:
        super().__init__(networks)
        self._store = store
        self._clock = clock
        self._read: dict[str, tuple[datetime, dict[str, Any] | None]] = {}

    async def quote_fee_wei(self, network: str, speed: Speed) -> int:
        outlook = None if self._networks[network].local else await self.fresh(network)
        if outlook is None:
            return await super().quote_fee_wei(network, speed)
        gas = self._networks[network].gas_per_payout
        return gas * int(outlook["fees"][speed.value]) + int(outlook["l1_share_wei"])

    async def fresh(self, network: str) -> dict[str, Any] | None:
        """The outlook, read at most once a second; ``None``: there is none to go by."""
        now = self._clock.now()
        kept = self._read.get(network)
        if kept is None or not now - _KEPT < kept[0] <= now:
            found = await self._store.outlook(network)
            is_old = found is None or now - found[0] > FRESH
            kept = (now, None if found is None or is_old else found[1])
            self._read[network] = kept
        return kept[1]
