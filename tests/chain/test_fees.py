"""What gas is paid for: nobody alone says how dear it is."""

from typing import Any

import pytest

from settlement.errors import ChainUnknown
from settlement.ports.chain import Fees
from tests.chain.scripted_node import Script, error, result, scripted_node
from tests.chain.test_several_endpoints import adapter


async def test_one_endpoint_cannot_make_us_pay_more_for_gas() -> None:
    """Base fee and tip are paid, so a quorum has to reach them; one that bids too low is outvoted
    as well, and one answer of three is none."""
    honest, gwei = priced(10**9, 10**6), 10**9
    async with (
        scripted_node(honest) as first,
        scripted_node(honest) as second,
        scripted_node(honest) as third,
    ):
        chain = adapter(first, second, third)
        for lie in (priced(500 * gwei, 400 * gwei), priced(1, 0), error(-32000, "no such luck")):
            third.script = lie
            assert await chain.fees() == Fees(2 * 10**9 + 10**6, 10**6)
        second.script = error(-32000, "no such luck")
        with pytest.raises(ChainUnknown):
            await chain.fees()
        await chain.close()


def priced(base_fee_wei: int, tip_wei: int) -> Script:
    """A node at which gas costs this."""

    def script(request: Any) -> Any:
        if isinstance(request, list):
            return [script(one) for one in request]
        is_tip = request["method"] == "eth_maxPriorityFeePerGas"
        return result(hex(tip_wei) if is_tip else {"baseFeePerGas": hex(base_fee_wei)})(request)

    return script


async def test_one_url_is_asked_for_fees_once() -> None:
    """Base fee and tip are one request."""
    async with scripted_node(priced(1, 1)) as only:
        chain = adapter(only)
        assert await chain.fees() == Fees(3, 1)
        assert len(only.requests) == 1
        await chain.close()
