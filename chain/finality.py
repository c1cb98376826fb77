"""Which block decides. Pure."""


def final_number(head: int, finalized: int | None, depth_blocks: int | None) -> int:
    """The newest block that will not be reorganised away.

    ``finalized`` is the node's own tag (proof of stake: two epochs back); where a network has
    none, a block is final ``depth_blocks`` below the head. Without either nothing is final (-1).
    """
    if depth_blocks is not None:
        return head - depth_blocks
    return -1 if finalized is None else min(finalized, head)
