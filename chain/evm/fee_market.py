"""``chain.gas.history``'s source for EVM networks: headers, ``eth_feeHistory``, L1 shares.

https://ethereum.github.io/execution-apis/api-documentation: ``eth_feeHistory`` answers one base fee
more than blocks: the next one's, by the network's own rule.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from chain.errors import UnclearAnswer
from chain.evm.receipts import unwrap
from chain.gas.history import TIP_PERCENTILES, GasHeader, Newest
from chain.rpc import RpcClient
from chain.rpc_endpoint import Call
from settlement.errors import ChainError

_HISTORY_BLOCKS_MAX = 1_024
_MALFORMED = (LookupError, TypeError, ValueError, AttributeError)


class EvmFeeMarket:
    """What one network's blocks cost, from the best endpoint that answers."""

    def __init__(self, rpc: RpcClient) -> None:
        self._rpc = rpc

    async def newest(self) -> Newest:
        """Head, its tips and the next base fee, in one request."""
        block, history = await self._rpc.batch(
            [_block("latest"), ("eth_feeHistory", ("0x1", "latest", list(TIP_PERCENTILES)))]
        )
        [block] = unwrap([block])
        try:
            header = _header(block)
            fees, tips = ({}, {}) if isinstance(history, ChainError) else _history(history)
        except _MALFORMED as problem:
            raise UnclearAnswer(f"a block makes no sense: {problem!r}") from problem
        if fees.get(header.number) != header.base_fee_wei:
            return Newest(header, None)  # the chain moved between the two answers
        return Newest(_with_tips(header, tips), fees.get(header.number + 1))

    async def headers(self, first: int, last: int) -> Sequence[GasHeader]:
        found = unwrap(await self._rpc.batch([_block(hex(n)) for n in range(first, last + 1)]))
        try:
            rows = [_header(block) for block in found]
        except _MALFORMED as problem:
            raise UnclearAnswer(f"a block makes no sense: {problem!r}") from problem
        fees, tips = await self._tips(first, last)
        return [
            _with_tips(row, tips) if fees.get(row.number) == row.base_fee_wei else row
            for row in rows
        ]

    async def _tips(
        self, first: int, last: int
    ) -> tuple[dict[int, int], dict[int, tuple[int, ...]]]:
        """Tips are worth having, not worth failing for: a node may not keep so much history."""
        fees: dict[int, int] = {}
        tips: dict[int, tuple[int, ...]] = {}
        for end in range(last, first - 1, -_HISTORY_BLOCKS_MAX):
            count = min(_HISTORY_BLOCKS_MAX, end - first + 1)
            try:
                answer = await self._rpc.call(
                    "eth_feeHistory", hex(count), hex(end), list(TIP_PERCENTILES)
                )
                some_fees, some_tips = _history(answer)
            except (ChainError, *_MALFORMED):
                break
            fees |= some_fees
            tips |= some_tips
        return fees, tips


def _block(which: str) -> Call:
    return ("eth_getBlockByNumber", (which, False))


def _header(block: Mapping[str, Any]) -> GasHeader:
    return GasHeader(
        number=int(block["number"], 16),
        hash=bytes.fromhex(block["hash"][2:]),
        parent=bytes.fromhex(block["parentHash"][2:]),
        time_s=int(block["timestamp"], 16),
        base_fee_wei=int(block["baseFeePerGas"], 16),
        gas_used=int(block["gasUsed"], 16),
        gas_limit=int(block["gasLimit"], 16),
    )


def _history(answer: Mapping[str, Any]) -> tuple[dict[int, int], dict[int, tuple[int, ...]]]:
    """Base fees by block, the next one's included, and tips by block."""
    oldest = int(answer["oldestBlock"], 16)
    fees = {oldest + at: int(fee, 16) for at, fee in enumerate(answer["baseFeePerGas"])}
    rewards = answer.get("reward") or []
    tips = {
        oldest + at: tuple(int(tip, 16) for tip in block)
        for at, block in enumerate(rewards)
        if len(block) == len(TIP_PERCENTILES)
    }
    return fees, tips


def _with_tips(header: GasHeader, tips: Mapping[int, tuple[int, ...]]) -> GasHeader:
    return GasHeader(
        header.number,
        header.hash,
        header.parent,
        header.time_s,
        header.base_fee_wei,
        header.gas_used,
        header.gas_limit,
        tips.get(header.number),
    )
