"""What only the owner does on a network: put contracts there, and money into them.

Its key is not a lane's: a lane can pay batches and nothing else. Moving money has two steps,
:meth:`Treasury.prepare` and :meth:`Treasury.deliver`, so that a caller can store the signed bytes
in between: bytes that are stored can be delivered any number of times with one effect, while
signing anew after a crash would pay twice.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from chain.artifacts import load_artifact
from chain.errors import NonceTooLow
from chain.evm import vault
from chain.evm.receipts import is_mined_anywhere, receipts_by_quorum
from chain.network import Network
from chain.resubmit import market_fees
from chain.rpc import RpcClient
from chain.signers import Eip1559Transaction, EvmSigner, SignedBytes
from settlement.errors import ChainRefused, ChainUnknown
from settlement.money import ceil_div

DEMO_DOLLAR = "DUSD"
DEMO_DOLLAR_SCALE = 6

_MINT = keccak(text="mint(address,uint256)")[:4]
_APPROVE = keccak(text="approve(address,uint256)")[:4]
_TRANSFER = keccak(text="transfer(address,uint256)")[:4]
_IS_SETTLER = keccak(text="isSettler(address)")[:4]
_WINDOW = keccak(text="window(address)")[:4]
_OWNER = keccak(text="owner()")[:4]
_POLL_S = 0.05


class Treasury:
    """The owner's account on one network; one caller at a time, since it counts its nonce."""

    def __init__(self, network: Network, rpc: RpcClient, signer: EvmSigner) -> None:
        self.network = network
        self._rpc = rpc
        self._signer = signer

    @property
    def address(self) -> str:
        """Checksummed (EIP-55)."""
        return self._signer.address

    async def deploy_vault(self, lanes: Sequence[str]) -> str:
        """A new vault in which ``lanes`` may settle; its address.

        It belongs to this account, which also is its pauser and the treasury that withdrawals go
        to. Lanes that are added later have to be announced a day ahead.
        """
        types = ["address", "address", "address", "address[]"]
        values = [self.address, self.address, self.address, list(lanes)]
        return await self._deploy("Vault", types, values)

    async def deploy_escrow(self) -> str:
        """A new escrow contract, which belongs to nobody; its address."""
        return await self._deploy("Escrow", [], [])

    async def deploy_demo_dollar(self) -> str:
        """A new worthless token of six decimals that this account may mint; its address."""
        return await self._deploy("DemoDollar", ["address"], [self.address])

    async def list_demo_dollar(self, vault_address: str, token: str, limit_minor: int) -> None:
        """Let at most ``limit_minor`` a day leave, half of it at once; nothing when it is listed.

        The vault tries a token before it lists it, with tokens of this account: mint one, let the
        vault take it, and get it back.
        """
        if await self.limit_minor(vault_address, token):
            return
        probe = 10**DEMO_DOLLAR_SCALE
        await self.deliver((await self.prepare_mint(token, self.address, probe)).raw)
        approve = _APPROVE + _to_amount(vault_address, probe)
        await self.deliver((await self.prepare(token, approve)).raw)
        data = vault.admin_data("listAsset", token, limit_minor, probe)
        await self.deliver((await self.prepare(vault_address, data)).raw)

    async def list_native(self, vault_address: str, limit_wei: int) -> None:
        """The same for the chain's own coin, which needs no trial."""
        if await self.limit_minor(vault_address, vault.NATIVE):
            return
        data = vault.admin_data("listAsset", vault.NATIVE, limit_wei, 0)
        await self.deliver((await self.prepare(vault_address, data)).raw)

    async def limit_minor(self, vault_address: str, asset: str) -> int:
        """What may leave in any day; zero when the asset is not listed."""
        answer = await self._read(vault_address, _WINDOW + encode(["address"], [asset]))
        return int(answer[:64] or "0", 16)

    async def is_settler(self, vault_address: str, lane_address: str) -> bool:
        data = _IS_SETTLER + encode(["address"], [lane_address])
        return int(await self._read(vault_address, data) or "0", 16) == 1

    async def owns(self, contract: str) -> bool:
        """Whether there is a contract at the address that names this account its owner."""
        answer = await self._read(contract, _OWNER)
        return len(answer) == 64 and to_checksum_address("0x" + answer[24:]) == self.address

    async def has_code(self, contract: str) -> bool:
        """Whether there is a contract at the address."""
        return str(await self._rpc.call("eth_getCode", contract, "latest")) != "0x"

    async def prepare_mint(self, token: str, to: str, amount_minor: int) -> SignedBytes:
        """New demo tokens for ``to``; signed, not sent."""
        return await self.prepare(token, _MINT + _to_amount(to, amount_minor))

    async def prepare_transfer(self, token: str | None, to: str, amount_minor: int) -> SignedBytes:
        """Tokens of this account, or with ``token`` ``None`` native coin; signed, not sent."""
        if token is None:
            return await self.prepare(to, b"", amount_minor)
        return await self.prepare(token, _TRANSFER + _to_amount(to, amount_minor))

    async def prepare(self, to: str | None, data: bytes, value_wei: int = 0) -> SignedBytes:
        """Price and sign a transaction at the account's next nonce; sends nothing.

        Raises kinds of :class:`~settlement.errors.ChainError`, among them the node's refusal of
        what would revert.
        """
        request = {"from": self.address, "data": "0x" + data.hex(), "value": hex(value_wei)}
        if to is not None:
            request["to"] = to
        calls: list[tuple[str, Sequence[Any]]] = [
            ("eth_estimateGas", (request,)),
            ("eth_getTransactionCount", (self.address, "latest")),
            ("eth_getBlockByNumber", ("latest", False)),
            ("eth_maxPriorityFeePerGas", ()),
        ]
        estimate, nonce, block, tip = [await self._rpc.call(name, *args) for name, args in calls]
        fees = market_fees(int(block["baseFeePerGas"], 16), int(tip, 16))
        return await self._signer.sign(
            Eip1559Transaction(
                chain_id=self.network.chain_id,
                nonce=int(nonce, 16),
                to=to,
                value_wei=value_wei,
                data=data,
                gas_limit=ceil_div(int(estimate, 16) * 6, 5),
                max_fee_wei=fees.max_fee_wei,
                priority_fee_wei=fees.priority_fee_wei,
            )
        )

    async def deliver(self, raw: bytes, limit_s: float = 60.0) -> dict[str, Any]:
        """Send signed bytes and wait for their receipt, which is returned.

        Raises:
            NonceTooLow: another transaction took the nonce; these bytes never have an effect.
            ChainRefused: refused, or mined and reverted.
            ChainUnknown: not mined within ``limit_s``; deliver the same bytes again.
        """
        ref = "0x" + keccak(raw).hex()
        try:
            await self._rpc.broadcast(raw)
        except NonceTooLow:
            if not await is_mined_anywhere(self._rpc, ref):
                raise
        receipt = await self._receipt(ref, limit_s)
        if int(receipt["status"], 16) != 1:
            raise ChainRefused(f"transaction {ref} reverted")
        return receipt

    async def _receipt(self, ref: str, limit_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            found = await receipts_by_quorum(self._rpc, [ref])
            if ref in found:
                return found[ref]
            await asyncio.sleep(_POLL_S)
        raise ChainUnknown(f"transaction {ref} was not mined within {limit_s:g} s")

    async def _deploy(self, name: str, types: list[str], arguments: list[Any]) -> str:
        code = load_artifact(name).bytecode + encode(types, arguments)
        receipt = await self.deliver((await self.prepare(None, code)).raw)
        return str(to_checksum_address(receipt["contractAddress"]))

    async def _read(self, contract: str, data: bytes) -> str:
        call = {"to": contract, "data": "0x" + data.hex()}
        return str(await self._rpc.call("eth_call", call, "latest")).removeprefix("0x")


def _to_amount(to: str, amount_minor: int) -> bytes:
    return encode(["address", "uint256"], [to, amount_minor])
