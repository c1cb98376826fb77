"""What a rollup's transactions pay beside gas: their share of writing them down on L1.

OP stack: the predeploy GasPriceOracle bounds it by size (Fjord).
https://docs.optimism.io/op-stack/transactions/fees ; Arbitrum: NodeInterface, which exists for
``eth_call`` alone, estimates it for a call. https://docs.arbitrum.io/build-decentralized-apps/nodeinterface/reference
"""

from typing import Protocol

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from chain.errors import UnclearAnswer
from chain.evm.sizing import FRAME_BYTES, ROW_BYTES_MAX

GAS_PRICE_ORACLE = "0x420000000000000000000000000000000000000F"
NODE_INTERFACE = "0x00000000000000000000000000000000000000C8"

_UPPER_BOUND = keccak(text="getL1FeeUpperBound(uint256)")[:4]
_L1_COMPONENT = keccak(text="gasEstimateL1Component(address,bool,bytes)")[:4]
_ROWS = 50
_SIZE = FRAME_BYTES + _ROWS * ROW_BYTES_MAX


class Rpc(Protocol):
    async def call(self, method: str, *params: object) -> object: ...


class OpStackShare:
    """One row's part of a batch of :data:`_ROWS`, by the oracle's upper bound for its size."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def per_payout_wei(self) -> int:
        data = _UPPER_BOUND + encode(["uint256"], [_SIZE])
        [fee] = await _asked(self._rpc, GAS_PRICE_ORACLE, data, ["uint256"])
        return -(-fee // _ROWS)


class ArbitrumShare:
    """The same from NodeInterface, for a call of ``vault`` with bytes that compress badly."""

    def __init__(self, rpc: Rpc, vault: str) -> None:
        self._rpc = rpc
        self._vault = vault

    async def per_payout_wei(self) -> int:
        sample = b"".join(keccak(at.to_bytes(4)) for at in range(-(-_SIZE // 32)))[:_SIZE]
        data = _L1_COMPONENT + encode(["address", "bool", "bytes"], [self._vault, False, sample])
        gas, base_fee, _ = await _asked(
            self._rpc, NODE_INTERFACE, data, ["uint64", "uint256", "uint256"]
        )
        return -(-gas * base_fee // _ROWS)


async def _asked(rpc: Rpc, to: str, data: bytes, types: list[str]) -> tuple[int, ...]:
    answer = await rpc.call("eth_call", {"to": to, "data": "0x" + data.hex()}, "latest")
    try:
        found = decode(types, bytes.fromhex(str(answer)[2:]))
    except (DecodingError, ValueError) as problem:
        raise UnclearAnswer(f"{to} does not answer as it should: {problem!r}") from problem
    return tuple(int(value) for value in found)
