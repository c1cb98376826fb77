"""Which transaction used up a nonce of a lane: proof that somebody else signs with its key.

That no receipt of ours is to be had proves nothing, however many nodes say so: they lag, and lose
their index. The transaction that the chain has in our place is in a block, and says who it is.
"""

from chain.evm.reads import Reads
from settlement.errors import ChainUnknown
from settlement.ids import TxRef


async def used_by(reads: Reads, lane_address: str, nonce: int, final_number: int) -> TxRef | None:
    """The transaction with this nonce in the final blocks up to ``final_number``, by which it must
    be used; ``None`` when that was longer ago than nodes keep the state of blocks.

    The block in which the lane's nonce rose past it is found by ever longer steps back, then by
    halving. Every answer is agreed by a quorum. Raises kinds of
    :class:`~settlement.errors.ChainError`.
    """
    high, step = final_number, 1
    while True:
        low = max(high - step, 0)
        count = await reads.nonce_where_kept(lane_address, low)
        if count is None or (low == 0 and count > nonce):
            return None
        if count <= nonce:
            break
        high, step = low, step * 2
    while high - low > 1:
        middle = (low + high) // 2
        if await reads.nonce(lane_address, middle) <= nonce:
            low = middle
        else:
            high = middle
    mine = [dict(sent) for sent in await reads.sent_in(high, lane_address)]
    refs = [str(sent["hash"]) for sent in mine if int(sent["nonce"] or "0x0", 16) == nonce]
    if len(refs) != 1:
        raise ChainUnknown(f"block {high} does not show nonce {nonce} of {lane_address}")
    return refs[0]
