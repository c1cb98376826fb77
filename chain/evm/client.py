"""``settlement.ports.chain`` for one EVM network, on any JSON-RPC node."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from eth_utils.crypto import keccak

from chain.deployment import Deployment
from chain.errors import AlreadyKnown, GasTooHigh, NonceTooLow
from chain.evm import escrow, merkle, vault
from chain.evm.addresses import normalize_address
from chain.evm.transactions import GAS_LIMIT_MAX, Requests
from chain.finality import final_number
from chain.network import Network
from chain.resubmit import market_fees, replacement_fees
from chain.rpc import RpcClient
from chain.signers import Eip1559Transaction, EvmSigner
from settlement.errors import ChainError, ChainUnknown, InvariantBroken
from settlement.ids import TxRef
from settlement.money import Asset
from settlement.ports.chain import (
    BatchCall,
    Call,
    ChainIdentity,
    Fees,
    Head,
    Inclusion,
    SignedTransaction,
)

_BALANCE_OF = keccak(text="balanceOf(address)")[:4]


class EvmChain:
    """One network: its facts, what we deployed there, its nodes, and the keys of our lanes."""

    def __init__(
        self,
        network: Network,
        deployment: Deployment,
        rpc: RpcClient,
        signers: Mapping[str, EvmSigner],
    ) -> None:
        self.network = network.name
        self.native = network.native
        self.max_batch = network.max_batch
        self._facts = network
        self._deployment = deployment
        self._rpc = rpc
        self._signers = signers
        self._contracts = {token.code: token.address for token in deployment.tokens}
        self._swallowing = deployment.contracts
        self._requests = Requests(
            deployment.vault,
            self._swallowing,
            self.batch_root,
            lambda call: self._contract(call.asset),
        )

    def normalize_address(self, text: str) -> str:
        return normalize_address(text, self._swallowing)

    def batch_root(self, call: BatchCall) -> str:
        token = self._contract(call.asset)
        leaves = [merkle.leaf(i, payout, token) for i, payout in enumerate(call.payouts)]
        return "0x" + merkle.root(leaves).hex()

    async def identity(self) -> ChainIdentity:
        genesis, code = await asyncio.gather(
            self.block_hash(0), self._rpc.call("eth_getCode", self._deployment.vault, "latest")
        )
        digest = keccak(hexstr=code).hex() if code != "0x" else ""
        return ChainIdentity(genesis or "", self._deployment.vault, digest)

    async def head(self) -> Head:
        latest, finalized = _unwrap(
            await self._rpc.batch(
                [
                    ("eth_getBlockByNumber", ("latest", False)),
                    ("eth_getBlockByNumber", ("finalized", False)),
                ]
            )
        )
        number = int(latest["number"], 16)
        tag = int(finalized["number"], 16) if finalized else None
        final = final_number(number, tag, self._facts.finality_depth_blocks)
        return Head(number, latest["hash"], final)

    async def block_hash(self, number: int) -> str | None:
        block = await self._rpc.call("eth_getBlockByNumber", hex(number), False)
        return str(block["hash"]) if block else None

    async def nonce(self, lane_address: str, block_number: int | None = None) -> int:
        tag = "latest" if block_number is None else hex(block_number)
        return int(await self._rpc.call("eth_getTransactionCount", lane_address, tag), 16)

    async def fees(self) -> Fees:
        block, tip = _unwrap(
            await self._rpc.batch(
                [("eth_getBlockByNumber", ("latest", False)), ("eth_maxPriorityFeePerGas", ())]
            )
        )
        return market_fees(int(block["baseFeePerGas"], 16), int(tip, 16))

    async def preflight(self, lane_address: str, call: Call) -> None:
        request = self._requests.build(lane_address, call).rpc(lane_address)
        try:
            await self._rpc.call("eth_call", {**request, "gas": hex(GAS_LIMIT_MAX)}, "latest")
        except ChainError as error:
            raise _explain(error) from error

    async def sign(
        self, lane_address: str, call: Call, nonce: int, replaces: Fees | None
    ) -> SignedTransaction:
        """A replacement's gas limit is estimated anew, since the state has moved on."""
        request = self._requests.build(lane_address, call)
        try:
            # By the newest block: in the pending one, what is replaced has paid the batch already.
            answer = await self._rpc.call("eth_estimateGas", request.rpc(lane_address), "latest")
        except ChainError as error:
            raise _explain(error) from error
        estimate = int(answer, 16)
        if estimate > GAS_LIMIT_MAX:
            raise GasTooHigh(f"this needs {estimate} gas, no transaction may have so much")
        market = await self.fees()
        fees = market if replaces is None else replacement_fees(replaces, market)
        transaction = Eip1559Transaction(
            chain_id=self._facts.chain_id,
            nonce=nonce,
            to=request.to,
            value_wei=request.value_wei,
            data=request.data,
            gas_limit=request.gas_limit(estimate),
            max_fee_wei=fees.max_fee_wei,
            priority_fee_wei=fees.priority_fee_wei,
        )
        signed = await self._signer(lane_address).sign(transaction)
        return SignedTransaction(signed.hash, signed.raw, nonce, fees, transaction.gas_limit)

    async def send(self, raw: bytes) -> None:
        try:
            await self._rpc.call("eth_sendRawTransaction", "0x" + raw.hex())
        except AlreadyKnown:
            return
        except NonceTooLow:
            ref = "0x" + keccak(raw).hex()
            if await self._rpc.call("eth_getTransactionReceipt", ref) is None:
                raise

    async def inclusions(self, refs: Sequence[TxRef]) -> Sequence[Inclusion]:
        """One batch for the receipts, one for the blocks that they claim to be in."""
        if not refs:
            return []
        receipts = _unwrap(
            await self._rpc.batch([("eth_getTransactionReceipt", (ref,)) for ref in refs])
        )
        mined = [receipt for receipt in receipts if receipt]
        numbers = sorted({receipt["blockNumber"] for receipt in mined})
        blocks = _unwrap(
            await self._rpc.batch([("eth_getBlockByNumber", (n, False)) for n in numbers])
        )
        canonical = {n: b["hash"] for n, b in zip(numbers, blocks, strict=True) if b}
        return [
            self._inclusion(receipt)
            for receipt in mined
            if canonical.get(receipt["blockNumber"]) == receipt["blockHash"]
        ]

    async def batch_recorded(self, batch_id: int) -> bool:
        data = "0x" + vault.batch_root_data(batch_id).hex()
        call = {"to": self._deployment.vault, "data": data}
        return int(await self._rpc.call("eth_call", call, "latest"), 16) != 0

    async def balance(self, asset: Asset, address: str) -> int:
        if asset == self.native:
            return int(await self._rpc.call("eth_getBalance", address, "latest"), 16)
        data = "0x" + _BALANCE_OF.hex() + address[2:].lower().rjust(64, "0")
        call = {"to": self._contract(asset), "data": data}
        return int(await self._rpc.call("eth_call", call, "latest"), 16)

    async def close(self) -> None:
        await self._rpc.close()

    def _inclusion(self, receipt: Mapping[str, Any]) -> Inclusion:
        result = vault.outcome(receipt, self._deployment.vault)
        return Inclusion(
            ref=receipt["transactionHash"],
            block_number=int(receipt["blockNumber"], 16),
            block_hash=receipt["blockHash"],
            succeeded=result.paid,
            skipped=result.skipped,
            fee_paid_wei=int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16),
            executed=int(receipt["status"], 16) == 1,
        )

    def _contract(self, asset: Asset) -> str:
        if asset == self.native:
            return vault.NATIVE
        if asset.network != self.network or asset.code not in self._contracts:
            raise InvariantBroken(f"{asset.id} is not listed on {self.network}")
        return self._contracts[asset.code]

    def _signer(self, lane_address: str) -> EvmSigner:
        if lane_address not in self._signers:
            raise InvariantBroken(f"no signer for lane {lane_address} on {self.network}")
        return self._signers[lane_address]


def _explain(error: ChainError) -> ChainError:
    """A revert in the words of the contract that said no."""
    named = vault.explain(error)
    return escrow.explain(error) if named is error else named


def _unwrap(answers: Sequence[Any]) -> Sequence[Any]:
    """An error in a batch means that we do not know: never an absent block or receipt."""
    for answer in answers:
        if isinstance(answer, ChainError):
            raise answer if answer.transient else ChainUnknown(str(answer)) from answer
    return answers
