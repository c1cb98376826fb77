"""Bids: what to offer now, and by how much a replacement must outbid. Pure, integers.

Nodes take a replacement only if both fees rise by at least 10% (geth's ``txpool.pricebump``);
one eighth leaves room for the stricter ones.
"""

from settlement.errors import FeeCapReached
from settlement.money import ceil_div
from settlement.ports.chain import Fees


def market_fees(base_fee_wei: int, tip_wei: int) -> Fees:
    """A cap of twice the base fee survives six full blocks in a row (EIP-1559: 12.5% each)."""
    return Fees(2 * base_fee_wei + tip_wei, tip_wei)


def replacement_fees(old: Fees, market: Fees) -> Fees:
    """Both fees at least an eighth above ``old``, and not below the market."""
    tip = max(_eighth_more(old.priority_fee_wei), market.priority_fee_wei)
    cap = max(_eighth_more(old.max_fee_wei), market.max_fee_wei, tip)
    return Fees(cap, tip)


def bid(market: Fees, replaces: Fees | None, cap_wei: int | None) -> Fees:
    """What to offer, and never more than ``cap_wei`` per unit of gas.

    Between the least that outbids ``replaces`` and the market, the cap itself is offered. Raises
    :class:`~settlement.errors.FeeCapReached` where no valid bid is within it.
    """
    wanted = market if replaces is None else replacement_fees(replaces, market)
    if cap_wei is None or wanted.max_fee_wei <= cap_wei:
        return wanted
    if replaces is not None:
        least = replacement_fees(replaces, replaces)
        if least.max_fee_wei <= cap_wei:
            return Fees(cap_wei, max(least.priority_fee_wei, min(wanted.priority_fee_wei, cap_wei)))
    raise FeeCapReached(f"a bid of {wanted.max_fee_wei} wei is above the cap of {cap_wei}")


def _eighth_more(fee_wei: int) -> int:
    return max(ceil_div(fee_wei * 9, 8), fee_wei + 1)
