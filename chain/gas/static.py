"""The gas port without a forecast: the network file's own figures, and no opinion on when."""

from collections.abc import Mapping, Sequence

from chain.network import Network
from settlement.ports.gas import Decision, Outlook, Waiting
from settlement.quote import Speed


class StaticGas:
    """Implements ``settlement.ports.gas`` from each network's ``static_fee_wei``."""

    def __init__(self, networks: Mapping[str, Network]) -> None:
        self._networks = networks

    async def quote_fee_wei(self, network: str, speed: Speed) -> int:  # noqa: ARG002
        facts = self._networks[network]
        return facts.gas_per_payout * facts.static_fee_wei

    async def outlook(self, network: str, waiting: Sequence[Waiting]) -> Outlook | None:  # noqa: ARG002
        return None

    async def decided(self, decision: Decision) -> None:
        """What leaves at once needs no note."""
