"""What a network is, apart from what we deployed on it (:mod:`chain.deployment`)."""

from dataclasses import dataclass

from settlement.money import Asset


@dataclass(frozen=True, slots=True)
class Network:
    """Facts about a chain.

    ``family`` names the adapter. ``finality_depth_blocks`` is ``None`` where the node's own
    ``finalized`` tag is used. ``gas_per_payout`` and ``static_fee_wei`` (per unit of gas) price
    a quote while no forecast does, and bound a batch together with ``gas_limit_max`` (what one
    transaction may use) and ``max_batch``. ``rollup`` says where its transactions' share
    of an L1's fee is asked for: ``op`` (OP stack), ``arbitrum``, or none. ``local`` marks chains
    that exist only on this machine: they alone may be replaced, and only test tenants may use them.
    """

    name: str
    family: str
    chain_id: int
    native: Asset
    finality_depth_blocks: int | None
    block_ms: int
    max_batch: int
    gas_per_payout: int
    static_fee_wei: int
    gas_limit_max: int = 16_777_216
    local: bool = False
    rollup: str | None = None
