"""The development chain on this machine: anvil, or eth-tester where there is no node."""

from chain.network import Network
from settlement.money import Asset

NETWORK = Network(
    name="local",
    family="evm",
    chain_id=31337,
    native=Asset("ETH", 18, "local"),
    finality_depth_blocks=None,
    block_ms=1_000,
    max_batch=200,
    gas_per_payout=60_000,
    static_fee_wei=2_000_000_000,
    local=True,
)
