"""Everything a handler may reach, as one frozen value that ``bridge.bootstrap`` fills.

Protocols rather than classes: the API is tested against PostgreSQL, yet knows only what it asks
of storage, prices, gas and the payment provider.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from litestar.connection import ASGIConnection

from bridge.metrics import Metrics
from bridge.settings import Settings
from bridge.storage.queries import Queries
from bridge.storage.wake import Wake
from settlement.errors import InvalidInput
from settlement.money import Asset
from settlement.ports.accepting import AcceptingStore
from settlement.ports.clock import Clock
from settlement.ports.escrow import EscrowScheme
from settlement.ports.escrow_store import AttestingStore
from settlement.ports.gas import GasPort
from settlement.ports.payment import ProviderEvent
from settlement.ports.price import PricePort
from settlement.ports.screening import ScreeningPort
from settlement.ports.store import Store
from settlement.receipt import ReceiptFacts


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """A token that can be bought: its asset, and its contract's address in normal form."""

    asset: Asset
    address: str


@dataclass(frozen=True, slots=True)
class NetworkInfo:
    """What the API needs to know of a network, without talking to it.

    ``normalize_address`` is the chain's own pure check; it raises
    :class:`~settlement.errors.InvalidAddress`. ``payout_max_minor`` is the most that one row of a
    batch can say: more could be captured and never paid. ``receipts`` is ``None`` where payments
    cannot be proven, ``escrow`` where there is no contract for escrows.
    """

    name: str
    native: Asset
    assets: tuple[TokenInfo, ...]
    normalize_address: Callable[[str], str]
    payout_max_minor: int = (1 << 256) - 1
    block_ms: int = 12_000
    receipts: ReceiptFacts | None = None
    escrow: EscrowScheme | None = None


class ApiStore(AcceptingStore, AttestingStore, Store, Protocol):
    """All sides of the store in one object."""


VerifyWebhook = Callable[[bytes, str], ProviderEvent]
"""(raw body, signature header) → event; raises :class:`~bridge.api.errors.WebhookInvalid`."""

Probe = Callable[[], Awaitable[str | None]]
"""One part of ``/readyz``: ``None`` when ready, else a short reason without secrets."""


CheckAddress = Callable[[str, str], str]
"""(asset, address) → its normal form; raises :class:`~settlement.errors.InvalidAddress`."""


@dataclass(frozen=True, slots=True)
class Services:
    """Filled once at start; shared by every request."""

    settings: Settings
    store: ApiStore
    queries: Queries
    wake: Wake
    networks: Mapping[str, NetworkInfo]
    prices: PricePort
    gas: GasPort
    verify_webhook: VerifyWebhook
    clock: Clock
    metrics: Metrics
    probes: Mapping[str, Probe]
    screening: ScreeningPort
    list_address: CheckAddress

    def network(self, name: str, param: str) -> NetworkInfo:
        """Raises :class:`~settlement.errors.InvalidInput` for a network we don't serve."""
        network = self.networks.get(name)
        if network is None:
            known: Sequence[str] = sorted(self.networks)
            raise InvalidInput(f"network must be one of {', '.join(known)}", param=param)
        return network

    def token(self, network: NetworkInfo, code: str, param: str) -> TokenInfo:
        """Raises :class:`~settlement.errors.InvalidInput` for an asset the network lacks."""
        for token in network.assets:
            if token.asset.code == code:
                return token
        known = ", ".join(token.asset.code for token in network.assets)
        raise InvalidInput(f"asset must be one of {known} on {network.name}", param=param)

    def fiat(self, code: str, param: str) -> Asset:
        """Raises :class:`~settlement.errors.InvalidInput` for a currency we don't charge."""
        for asset in self.settings.currencies:
            if asset.code == code:
                return asset
        known = ", ".join(asset.code for asset in self.settings.currencies)
        raise InvalidInput(f"currency must be one of {known}", param=param)


def services_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Services:
    """The services of the application that this request came to."""
    services: Services = connection.app.state.services
    return services
