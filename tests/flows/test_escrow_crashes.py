"""kill -9 around a release: the payee is paid once, whatever was recorded when the worker died."""

import pytest
from web3 import Web3

from tests.flows.escrowing import books_agree, funded, minor
from tests.flows.test_crashes import workers_of
from tests.support.waiting import eventually

POINTS = ["store.apply_escrow", "store.plan", "chain.send", "payment.annotate"]
"""After which call the worker dies: the release is announced and nobody has planned it; planned and
not signed; sent and not marked; told to Stripe and not noted."""

RELEASED = "Released(bytes32,bytes32,uint256,uint256,bytes32)"


@pytest.mark.parametrize("point", POINTS)
async def test_a_worker_killed_around_a_release_releases_once(
    bridge, flow_dsn, emulator_url, tmp_path, point
):
    """One Released event on-chain, one in the history, one booking; Stripe's dashboard says so."""
    deal = await funded(bridge)
    assert (await deal.release("40.00")).status_code == 201
    with workers_of(bridge, flow_dsn, emulator_url, tmp_path) as workers:
        doomed = workers.start(point)

        def died():
            bridge.world.rpc("evm_mine")
            return not doomed.alive

        await eventually(died, limit_s=40, what="the crash")
        assert doomed.returncode == -9, doomed.log_tail()
        workers.start()

        async def told():
            bridge.world.rpc("evm_mine")
            metadata = (await bridge.intent(deal.order_id))["metadata"]
            return metadata.get("escrow_released") == "40.000000 DUSD"

        await eventually(told, limit_s=60, what="the release, told")
    view = await deal.view()
    assert [a["status"] for a in view["attestations"]] == ["final"]
    assert [e["type"] for e in view["history"]].count("escrow.released") == 1
    assert deal.holds(deal.payee) == minor("40.00")
    logs = bridge.world.rpc(
        "eth_getLogs",
        {
            "fromBlock": "0x0",
            "toBlock": "latest",
            "address": bridge.world.escrow.address,
            "topics": ["0x" + Web3.keccak(text=RELEASED).hex(), view["signing"]["id"]],
        },
    )
    assert len(logs) == 1
    await books_agree(bridge, deal)
