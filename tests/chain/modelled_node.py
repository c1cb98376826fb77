"""A chain in a few numbers, and nodes that know it well, late, or wrongly.

A node's view is a :class:`World`: an honest node serves the true one, a laggard the same chain some
blocks shorter, a liar another world altogether. Liars of one world support each other, which is the
worst that they can do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from eth_utils.crypto import keccak

from tests.chain.scripted_node import Script

VAULT = "0x" + "aa" * 20
LANE = "0x" + "bb" * 20
_PAID = "0x" + keccak(text="BatchPaid(uint256,bytes32,address,uint256,uint256)").hex()


def tx(number: int) -> str:
    return f"0x{number:064x}"


@dataclass(frozen=True)
class World:
    """``mined``: transaction → (block, whether it paid). ``name`` makes hashes differ. ``memo`` is
    what each transaction carries, ``waiting`` how many of the lane's are in the mempool; ``l1_fee``
    is what a rollup's receipts say beside gas."""

    name: str = "true"
    head: int = 100
    final: int = 90
    mined: Mapping[str, tuple[int, bool]] = field(default_factory=dict)
    recorded: bool = False
    code: str = "0x60"
    memo: str = "0x"
    waiting: int = 0
    l1_fee: str | None = None

    def hash(self, number: int) -> str:
        return "0x" + keccak(text=f"{self.name} {number}").hex()

    def nonce(self, number: int) -> int:
        return sum(block <= number for block, _ in self.mined.values())

    def known(self) -> dict[str, tuple[int, bool]]:
        return {ref: seen for ref, seen in self.mined.items() if seen[0] <= self.head}

    def late(self, blocks: int) -> "World":
        """The same chain as a node sees it that lags."""
        head, final = max(0, self.head - blocks), max(0, self.final - blocks)
        return replace(self, head=head, final=final, recorded=self.recorded and blocks == 0)


def node(world: World) -> Script:
    """Answers, from this world, what the adapter asks."""

    def script(request: Any) -> Any:
        if isinstance(request, list):
            return [script(one) for one in request]
        body = {"jsonrpc": "2.0", "id": request["id"]}
        try:
            return {**body, "result": answer(world, request["method"], request["params"])}
        except LookupError:
            return {**body, "error": {"code": -32000, "message": "header not found"}}

    return script


def answer(world: World, method: str, params: list[Any]) -> Any:
    match method, params:
        case "eth_getBlockByNumber", [tag, with_transactions]:
            return _block(world, tag, with_transactions)
        case "eth_getTransactionReceipt", [ref]:
            return _receipt(world, ref) if ref in world.known() else None
        case "eth_getTransactionCount", [_, tag]:
            if tag == "pending":
                return hex(world.nonce(world.head) + world.waiting)
            number = world.head if tag == "latest" else int(tag, 16)
            if number > world.head:
                raise LookupError(tag)
            return hex(world.nonce(number))
        case "eth_call", _:
            return "0x" + f"{int(world.recorded):064x}"
        case "eth_getCode", _:
            return world.code
    raise AssertionError(f"nobody asked for {method} before")


def _block(world: World, tag: str, with_transactions: bool) -> dict[str, Any] | None:
    named = {"latest": world.head, "finalized": world.final}
    number = named[tag] if tag in named else int(tag, 16)
    if number > world.head:
        return None
    block = {"number": hex(number), "hash": world.hash(number)}
    if not with_transactions:
        return block
    refs = [ref for ref, (mined, _) in world.mined.items() if mined == number]
    return {**block, "transactions": [_sent(world, ref, nonce) for nonce, ref in enumerate(refs)]}


def _sent(world: World, ref: str, nonce: int) -> dict[str, str]:
    fees = {"gas": "0x5208", "maxFeePerGas": "0x2", "maxPriorityFeePerGas": "0x1"}
    said = {"hash": ref, "from": LANE, "to": "0x" + "cc" * 20, "value": "0x9", "input": world.memo}
    return {**fees, **said, "nonce": hex(nonce)}


def _receipt(world: World, ref: str) -> dict[str, Any]:
    block, paid = world.mined[ref]
    log = {"address": VAULT, "topics": [_PAID], "data": f"0x{1:064x}{0:064x}"}
    return {
        "transactionHash": ref,
        "blockNumber": hex(block),
        "blockHash": world.hash(block),
        "status": hex(int(paid)),
        "gasUsed": "0x5208",
        "effectiveGasPrice": "0x1",
        **({} if world.l1_fee is None else {"l1Fee": world.l1_fee}),
        "logs": [log] if paid else [],
    }
