"""``settlement.ports.chain`` for one EVM network, on any JSON-RPC nodes.

What money depends on is read by quorum (:mod:`chain.evm.reads`), fees among it, since they are
paid; dry runs and estimates come from the best endpoint that answers; what is signed goes to all
that are not paused.
"""

from collections.abc import Collection, Mapping, Sequence

from eth_utils.crypto import keccak

from chain.deployment import Deployment
from chain.endpoints import EndpointHealth
from chain.errors import GasTooHigh, NonceTooLow
from chain.evm import escrow, merkle, vault
from chain.evm.addresses import normalize_address
from chain.evm.fee_market import EvmFeeMarket
from chain.evm.history import History
from chain.evm.l1_share import ArbitrumShare, OpStackShare
from chain.evm.nonce_use import used_by
from chain.evm.reads import Reads
from chain.evm.singles import cheaper_singly
from chain.evm.sizing import batch_size
from chain.evm.transactions import GAS_LIMIT_MAX, Requests
from chain.network import Network
from chain.resubmit import bid, market_fees
from chain.rpc import RpcClient
from chain.signers import Eip1559Transaction, EvmSigner
from settlement.errors import ChainError, InvariantBroken
from settlement.ids import TxRef
from settlement.money import Asset
from settlement.ports.chain import (
    BatchCall,
    Call,
    ChainIdentity,
    Fees,
    Head,
    Inclusion,
    Nonces,
    SignedTransaction,
)


class EvmChain:
    """One network: its facts, what we deployed there, its nodes, and the keys of our lanes."""

    def __init__(
        self,
        network: Network,
        deployment: Deployment,
        rpc: RpcClient,
        signers: Mapping[str, EvmSigner],
    ) -> None:
        deployment.check_native(network.native)
        self.network = network.name
        self.native = network.native
        self.lanes: Collection[str] = deployment.lanes
        self.signs_for: Collection[str] = frozenset(signers)
        self.block_ms = network.block_ms
        self.max_batch = batch_size(network, network.gas_limit_max)
        self._facts = network
        self._deployment = deployment
        self._rpc = rpc
        self._signers = signers
        self._contracts = {token.code: token.address for token in deployment.tokens}
        self._swallowing = deployment.contracts
        self._reads = Reads(rpc, deployment.vault, network.finality_depth_blocks)
        assets = {t.address.lower(): deployment.asset(t.code) for t in deployment.tokens}
        assets[vault.NATIVE] = network.native
        self.history = History(rpc, self._reads, deployment.vault, assets)
        self.escrows = escrow.EvmEscrowPort(self._reads)
        self.fee_market = EvmFeeMarket(rpc)
        self._requests = Requests(
            deployment.vault,
            self._swallowing,
            self.batch_root,
            lambda call: self._contract(call.asset),
            network.native,
        )

    def normalize_address(self, text: str) -> str:
        return normalize_address(text, self._swallowing)

    def batch_root(self, call: BatchCall) -> str:
        return "0x" + merkle.batch_root(call.payouts, self._contract(call.asset)).hex()

    def batch_size(self, gas: int) -> int:
        return batch_size(self._facts, gas)

    async def singly(self, wallets: Sequence[str]) -> frozenset[str]:
        return await cheaper_singly(self._rpc, wallets)

    async def identity(self) -> ChainIdentity:
        return await self._reads.identity()

    async def head(self) -> Head:
        return await self._reads.head()

    async def block_hash(self, number: int) -> str | None:
        return await self._reads.block_hash(number)

    async def nonce(self, lane_address: str, block_number: int | None = None) -> int:
        return await self._reads.nonce(lane_address, block_number)

    async def nonces(self, lane_address: str) -> Nonces:
        return await self._reads.nonces(lane_address)

    async def fees(self) -> Fees:
        return market_fees(*await self._reads.prices_wei())

    async def preflight(self, lane_address: str, call: Call) -> None:
        try:
            await self._rpc.call("eth_call", self._dry_run(lane_address, call), "latest")
        except ChainError as error:
            raise _explain(error) from error

    async def refusal(self, lane_address: str, call: Call) -> str | None:
        final = (await self._reads.head()).final_number
        return await self._reads.refusal(final, self._dry_run(lane_address, call), _explain)

    async def sign(
        self,
        lane_address: str,
        call: Call,
        nonce: int,
        replaces: Fees | None,
        fee_cap_wei: int | None = None,
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
        fees = bid(await self.fees(), replaces, fee_cap_wei)
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
        """To every endpoint that is not paused, and to the paused ones when nobody else takes it:
        one that takes or knows the bytes, or knows them mined, is enough."""
        try:
            await self._rpc.broadcast(raw)
        except NonceTooLow:
            if not await self._reads.is_mined_anywhere("0x" + keccak(raw).hex()):
                raise

    async def inclusions(
        self, refs: Sequence[TxRef], *, complete: bool = False
    ) -> Sequence[Inclusion]:
        return await self._reads.inclusions(refs, complete=complete)

    async def used_by(self, lane_address: str, nonce: int, final_number: int) -> TxRef | None:
        return await used_by(self._reads, lane_address, nonce, final_number)

    async def batch_recorded(self, batch_id: int) -> bool:
        return await self._reads.batch_recorded(batch_id)

    async def balance(self, asset: Asset, address: str) -> int:
        contract = None if asset == self.native else self._contract(asset)
        return await self._reads.balance(contract, address)

    def l1_share(self) -> OpStackShare | ArbitrumShare | None:
        """Where the share of an L1's fee is asked for; ``None``: the network pays none."""
        if self._facts.rollup == "op":
            return OpStackShare(self._rpc)
        if self._facts.rollup == "arbitrum":
            return ArbitrumShare(self._rpc, self._deployment.vault)
        return None

    def endpoints(self) -> list[EndpointHealth]:
        """The nodes' health, for operators: in the order of the configuration, no credentials."""
        return self._rpc.endpoints()

    async def close(self) -> None:
        await self._rpc.close()

    def _dry_run(self, lane_address: str, call: Call) -> dict[str, str]:
        request = self._requests.build(lane_address, call).rpc(lane_address)
        return {**request, "gas": hex(GAS_LIMIT_MAX)}

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
