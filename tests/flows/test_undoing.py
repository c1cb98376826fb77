"""What one test does to the chain that all share is no other test's business."""

import pytest

from chain.local.local_chain import LocalChain
from tests.chain.world import World, fresh_address
from tests.flows.conftest import needs_anvil, next_base_fee, undone
from tests.support.waiting import eventually_sync

pytestmark = needs_anvil


def test_a_chain_is_handed_on_as_it_was_whatever_failed(
    flow_chain: LocalChain, flow_contracts: World
) -> None:
    """No transaction that waits, no chain that stands still and no fee outlives a test."""
    rpc, fee = flow_contracts.rpc, next_base_fee(flow_contracts)
    [sender, *_] = rpc("eth_accounts")
    payment = {"from": sender, "to": fresh_address(), "value": "0x1"}

    def fail() -> None:
        with undone(flow_chain, flow_contracts):
            rpc("evm_setAutomine", False)
            rpc("eth_sendTransaction", payment)
            rpc("anvil_setNextBlockBaseFeePerGas", hex(500 * 10**9))
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert rpc("txpool_status") == {"pending": "0x0", "queued": "0x0"}
    assert next_base_fee(flow_contracts) == fee
    with undone(flow_chain, flow_contracts):
        sent = rpc("eth_sendTransaction", payment)
        eventually_sync(lambda: rpc("eth_getTransactionReceipt", sent), what="mined by itself")
        block = rpc("eth_getBlockByNumber", "latest", False)
        assert block["baseFeePerGas"] == fee
