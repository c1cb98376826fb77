"""Receipts that may be believed: of a block that is canonical, told alike by a quorum.

Each endpoint is asked for the receipts and for the blocks that they claim to be in, so that its
receipt of a block that a reorganisation removed is no vote. What it does not know is no vote
either: an absent receipt is never news.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from chain.errors import NoQuorum, UnclearAnswer
from chain.quorum import is_decided
from chain.rpc import RpcClient
from chain.rpc_endpoint import Endpoint
from settlement.errors import ChainError, ChainUnknown
from settlement.ids import TxRef

Receipt = dict[str, Any]
Ballot = dict[TxRef, tuple[str, Receipt]]
"""What one endpoint knows: receipts, each with the digest by which it is compared."""
_COMPARED = ("blockHash", "blockNumber", "status", "gasUsed", "effectiveGasPrice")
_COMPARED_WHERE_TOLD = ("contractAddress", "l1Fee")


async def receipts_by_quorum(
    rpc: RpcClient, refs: Sequence[TxRef], *, complete: bool = False
) -> dict[TxRef, Receipt]:
    """The receipts that a quorum of endpoints gives for these transactions: same block hash, same
    status, same logs.

    One that fewer endpoints know is left out: perhaps the others lag. With ``complete`` it raises
    :class:`NoQuorum` instead, so that what is left out is known by none of those that answered.
    """
    if not refs:
        return {}

    def decided(ballots: Sequence[Ballot], outstanding: int) -> bool:
        if complete:
            return outstanding == 0
        votes = ([b[ref][0] for b in ballots if ref in b] for ref in refs)
        return all(is_decided(digests, rpc.quorum, outstanding) for digests in votes)

    ask = partial(_canonical, refs=refs, is_compared=rpc.quorum > 1)
    ballots = await rpc.poll(ask, decided)
    found: dict[TxRef, Receipt] = {}
    for ref in refs:
        receipt = _chosen(ballots, ref, rpc.quorum)
        if receipt is not None:
            found[ref] = receipt
        elif complete and any(ref in ballot for ballot in ballots):
            raise NoQuorum(f"{rpc.quorum} endpoints must agree about the receipt of {ref}")
    return found


async def is_mined_anywhere(rpc: RpcClient, ref: TxRef) -> bool:
    """Whether any endpoint knows a receipt: enough to stop sending, never to settle anything."""
    ballots = await rpc.poll(lambda one: one.call("eth_getTransactionReceipt", ref))
    return any(receipt is not None for receipt in ballots)


async def _canonical(one: Endpoint, refs: Sequence[TxRef], is_compared: bool) -> Ballot:
    """One batch for the receipts, one for the blocks that they claim to be in."""
    receipts = unwrap(await one.batch([("eth_getTransactionReceipt", (ref,)) for ref in refs]))
    mined = {ref: receipt for ref, receipt in zip(refs, receipts, strict=True) if receipt}
    for ref, receipt in mined.items():
        if receipt["transactionHash"].lower() != ref.lower():
            raise UnclearAnswer(f"{one.label} gave the receipt of another transaction")
    numbers = sorted({receipt["blockNumber"] for receipt in mined.values()})
    blocks = unwrap(await one.batch([("eth_getBlockByNumber", (n, False)) for n in numbers]))
    hashes = {n: block["hash"] for n, block in zip(numbers, blocks, strict=True) if block}
    return {
        ref: (_digest(receipt) if is_compared else "", receipt)
        for ref, receipt in mined.items()
        if hashes.get(receipt["blockNumber"]) == receipt["blockHash"]
    }


def _chosen(ballots: Sequence[Ballot], ref: TxRef, quorum: int) -> Receipt | None:
    told = [ballot[ref] for ballot in ballots if ref in ballot]
    digests = [digest for digest, _ in told]
    chosen = {digest for digest in digests if digests.count(digest) >= quorum}
    return dict(told)[chosen.pop()] if len(chosen) == 1 else None


def _digest(receipt: Receipt) -> str:
    """All that anybody reads of a receipt. Nodes differ in letter case and in what they add."""
    logs = [[log["address"], log["topics"], log["data"]] for log in receipt["logs"]]
    facts = [receipt[name] for name in _COMPARED]
    facts += [receipt.get(name) for name in _COMPARED_WHERE_TOLD] + [logs]
    return hashlib.sha256(json.dumps(facts).lower().encode()).hexdigest()


def unwrap(answers: Sequence[Any]) -> Sequence[Any]:
    """An error in a batch means that we do not know: never an absent block or receipt."""
    for answer in answers:
        if isinstance(answer, ChainError):
            raise answer if answer.transient else ChainUnknown(str(answer)) from answer
    return answers
