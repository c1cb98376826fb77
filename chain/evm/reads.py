"""What money depends on, as a quorum of endpoints reports it.

For each read the question is what fewer than a quorum of liars or laggards could do with it. Facts
that are the same everywhere (a block's hash, a receipt, a nonce at a final block) need a quorum
that agrees. Numbers that only grow, and that endpoints reach one after the other (the final height,
a nonce at the newest block), count as far as a quorum has reached. Whatever remains open is
:class:`~settlement.errors.ChainUnknown`: ask again later.

With one endpoint its word is all there is, and costs no request more than asking it plainly.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from chain.errors import ExecutionReverted, OutOfRange, UnclearAnswer
from chain.evm import vault
from chain.evm.receipts import is_mined_anywhere, receipts_by_quorum, unwrap
from chain.finality import final_number
from chain.quorum import agreed, is_decided, quorum_highest
from chain.rpc import RpcClient
from chain.rpc_endpoint import Call, Endpoint
from settlement.errors import ChainError, is_for_good
from settlement.ids import TxRef
from settlement.ports.chain import ChainIdentity, Head, Inclusion, Nonces

T = TypeVar("T", bound=Hashable)

_SENT = ("hash", "to", "value", "input", "nonce", "gas", "maxFeePerGas", "maxPriorityFeePerGas")
_BALANCE_OF = keccak(text="balanceOf(address)")[:4]


class Reads:
    """Reads of one network by quorum. Every method raises kinds of ``ChainError``."""

    def __init__(self, rpc: RpcClient, vault_address: str, depth_blocks: int | None) -> None:
        self._rpc = rpc
        self._vault = vault_address
        self._depth_blocks = depth_blocks
        self._finals: dict[str, int] = {}

    async def identity(self) -> ChainIdentity:
        """Agreed by a quorum: one endpoint on another chain cannot stop the network."""

        async def ask(one: Endpoint) -> ChainIdentity:
            genesis, code = unwrap(
                await one.batch(
                    [
                        ("eth_getBlockByNumber", ("0x0", False)),
                        ("eth_getCode", (self._vault, "latest")),
                    ]
                )
            )
            digest = keccak(hexstr=code).hex() if code != "0x" else ""
            return ChainIdentity(str(genesis["hash"]) if genesis else "", self._vault, digest)

        return await self._agreed(ask, "the chain's identity")

    async def head(self) -> Head:
        """Final is what a quorum calls final: the quorum-th highest of their heights.

        A final block stays final, so an endpoint that did not answer this time is counted with what
        it said last. Number and hash are for display, from the best endpoint that knows as much.
        """
        heads = await self._rpc.poll(self._report)
        final = quorum_highest(list(self._finals.values()), self._rpc.quorum)
        known = [(one, head) for one, head in heads if head.number >= final] or heads
        _, best = min(known, key=lambda pair: self._rpc.rank(pair[0]))
        return Head(best.number, best.hash, min(final, best.number))

    async def block_hash(self, number: int) -> str | None:
        """Agreed by a quorum, and so is that the chain is shorter."""

        async def ask(one: Endpoint) -> str | None:
            block = await one.call("eth_getBlockByNumber", hex(number), False)
            return str(block["hash"]) if block else None

        return await self._agreed(ask, f"block {number}")

    async def nonce(self, lane_address: str, block_number: int | None) -> int:
        """At a block: agreed by a quorum, since it says which attempts can never be mined.

        At the newest block: as far as a quorum has counted. Too high would stop the network, which
        no lonely endpoint may do; too low (a laggard among too few answers) lets a transaction be
        signed that every node refuses, which costs nothing.
        """
        at = "latest" if block_number is None else hex(block_number)

        async def ask(one: Endpoint) -> int:
            return int(await one.call("eth_getTransactionCount", lane_address, at), 16)

        if block_number is None:
            return quorum_highest(await self._rpc.poll(ask), self._rpc.quorum)
        return await self._agreed(ask, f"the nonce at block {block_number}")

    async def nonce_where_kept(self, lane_address: str, block_number: int) -> int | None:
        """At a final block; ``None`` when a quorum no longer keeps its state."""
        at = hex(block_number)

        async def ask(one: Endpoint) -> int | None:
            try:
                return int(await one.call("eth_getTransactionCount", lane_address, at), 16)
            except OutOfRange:
                return None

        return await self._agreed(ask, f"the nonce at block {block_number}")

    async def nonces(self, lane_address: str) -> Nonces:
        """At the newest block as far as a quorum has counted; with the mempool by the highest word
        of anybody, since bytes that only one endpoint holds are mined like any others. Who lies
        here stops the network, and can do no more than that. One request to each endpoint.
        """

        async def ask(one: Endpoint) -> tuple[int, int]:
            mined, pending = unwrap(
                await one.batch(
                    [("eth_getTransactionCount", (lane_address, t)) for t in ("latest", "pending")]
                )
            )
            return int(mined, 16), int(pending, 16)

        counts = await self._rpc.poll(ask, everybody=True)
        mined = quorum_highest([mined for mined, _ in counts], self._rpc.quorum)
        return Nonces(mined, max(mined, *(pending for _, pending in counts)))

    async def inclusions(self, refs: Sequence[TxRef], *, complete: bool) -> Sequence[Inclusion]:
        """See :func:`~chain.evm.receipts.receipts_by_quorum`."""
        found = await receipts_by_quorum(self._rpc, refs, complete=complete)
        try:
            return [self._inclusion(receipt) for receipt in found.values()]
        except (DecodingError, LookupError, TypeError, ValueError, AttributeError) as problem:
            raise UnclearAnswer(f"a receipt makes no sense: {problem!r}") from problem

    async def is_mined_anywhere(self, ref: TxRef) -> bool:
        return await is_mined_anywhere(self._rpc, ref)

    async def batch_recorded(self, batch_id: int) -> bool:
        """Agreed by a quorum: ``True`` stops the network, ``False`` may pay again."""
        data = "0x" + vault.batch_root_data(batch_id).hex()

        async def ask(one: Endpoint) -> bool:
            call = {"to": self._vault, "data": data}
            return int(await one.call("eth_call", call, "latest"), 16) != 0

        return await self._agreed(ask, f"batch {batch_id}")

    async def balance(self, contract: str | None, address: str) -> int:
        """As much as a quorum confirms, in wei or in the token's minor units: it may be booked."""
        call: Call = ("eth_getBalance", (address, "latest"))
        if contract is not None:
            data = "0x" + _BALANCE_OF.hex() + address[2:].lower().rjust(64, "0")
            call = ("eth_call", ({"to": contract, "data": data}, "latest"))

        async def ask(one: Endpoint) -> int:
            return int(await one.call(call[0], *call[1]), 16)

        return quorum_highest(await self._rpc.poll(ask), self._rpc.quorum)

    async def prices_wei(self) -> tuple[int, int]:
        """Base fee of the newest block and the tip to offer, each as high as a quorum has it: one
        endpoint cannot make us pay more. With a majority for a quorum it is the median."""
        calls: list[Call] = [
            ("eth_getBlockByNumber", ("latest", False)),
            ("eth_maxPriorityFeePerGas", ()),
        ]

        async def ask(one: Endpoint) -> tuple[int, int]:
            block, tip = unwrap(await one.batch(calls))
            return int(block["baseFeePerGas"], 16), int(tip, 16)

        bases, tips = zip(*await self._rpc.poll(ask), strict=True)
        return quorum_highest(bases, self._rpc.quorum), quorum_highest(tips, self._rpc.quorum)

    async def refusal(
        self, number: int, call: Mapping[str, str], explain: Callable[[ChainError], ChainError]
    ) -> str | None:
        """Why ``call`` is refused for good as of a final block, or ``None``. That it is, is agreed
        by a quorum; in which words, is what most of them say."""
        reasons: Counter[str] = Counter()

        async def ask(one: Endpoint) -> bool:
            try:
                await one.call("eth_call", call, hex(number))
            except ExecutionReverted as error:
                named = explain(error)
                reasons[str(named)] += is_for_good(named)
                return is_for_good(named)
            return False

        if await self._agreed(ask, f"a dry run at block {number}"):
            return reasons.most_common(1)[0][0]
        return None

    async def answer_at(self, number: int, contract: str, data: bytes) -> tuple[datetime, bytes]:
        """The time of a final block and what ``contract`` answers as of it, agreed by a quorum."""
        call = {"to": contract, "data": "0x" + data.hex()}

        async def ask(one: Endpoint) -> tuple[int, str]:
            block, answer = unwrap(
                await one.batch(
                    [
                        ("eth_getBlockByNumber", (hex(number), False)),
                        ("eth_call", (call, hex(number))),
                    ]
                )
            )
            if not block:
                raise OutOfRange(f"block {number} is not known here")
            return int(block["timestamp"], 16), str(answer)

        seconds, answer = await self._agreed(ask, f"{contract} at block {number}")
        return datetime.fromtimestamp(seconds, UTC), bytes.fromhex(answer[2:])

    async def logs(
        self, contract: str, topic: str, start: int, end: int
    ) -> tuple[tuple[TxRef, tuple[str, ...]], ...]:
        """Transaction and topics of each log that begins with ``topic`` in these final blocks,
        agreed by a quorum. One that has not seen the last block has no say: it would give a part.
        """
        blocks = {"fromBlock": hex(start), "toBlock": hex(end)}
        wanted = {"address": contract, "topics": [topic], **blocks}

        async def ask(one: Endpoint) -> tuple[tuple[TxRef, tuple[str, ...]], ...]:
            last, found = unwrap(
                await one.batch(
                    [("eth_getBlockByNumber", (hex(end), False)), ("eth_getLogs", (wanted,))]
                )
            )
            if not last:
                raise OutOfRange(f"block {end} is not known here")
            return tuple(
                (str(log["transactionHash"]).lower(), tuple(str(t).lower() for t in log["topics"]))
                for log in found
            )

        return await self._agreed(ask, f"the logs of blocks {start} to {end}")

    async def sent_in(
        self, number: int, sender: str
    ) -> tuple[tuple[tuple[str, str | None], ...], ...]:
        """Name and value of each field of what ``sender`` sent in this block (lower case), agreed
        by a quorum: a payment of which one endpoint hides the memo would be made again."""

        async def ask(one: Endpoint) -> tuple[tuple[tuple[str, str | None], ...], ...]:
            block = await one.call("eth_getBlockByNumber", hex(number), True)
            if not block:
                raise OutOfRange(f"block {number} is not known here")
            sent = [t for t in block["transactions"] if t["from"].lower() == sender.lower()]
            return tuple(
                tuple((name, t[name] and str(t[name]).lower()) for name in _SENT if name in t)
                for t in sent
            )

        return await self._agreed(ask, f"what {sender} sent in block {number}")

    async def _agreed(self, ask: Callable[[Endpoint], Awaitable[T]], what: str) -> T:
        quorum = self._rpc.quorum

        def decided(ballots: Sequence[T], outstanding: int) -> bool:
            return is_decided(ballots, quorum, outstanding)

        return agreed(await self._rpc.poll(ask, decided), quorum, what)

    async def _report(self, one: Endpoint) -> tuple[Endpoint, Head]:
        calls: list[Call] = [("eth_getBlockByNumber", ("latest", False))]
        if self._depth_blocks is None:
            calls.append(("eth_getBlockByNumber", ("finalized", False)))
        latest, *finalized = unwrap(await one.batch(calls))
        number = int(latest["number"], 16)
        tag = int(finalized[0]["number"], 16) if finalized and finalized[0] else None
        final = final_number(number, tag, self._depth_blocks)
        one.saw_head(number)
        self._finals[one.label] = final
        return one, Head(number, str(latest["hash"]), final)

    def _inclusion(self, receipt: Mapping[str, Any]) -> Inclusion:
        result = vault.outcome(receipt, self._vault)
        return Inclusion(
            ref=receipt["transactionHash"],
            block_number=int(receipt["blockNumber"], 16),
            block_hash=receipt["blockHash"],
            succeeded=result.paid,
            skipped=result.skipped,
            fee_paid_wei=_fee_paid_wei(receipt),
            executed=int(receipt["status"], 16) == 1,
            paid_minor=result.paid_minor,
        )


def _fee_paid_wei(receipt: Mapping[str, Any]) -> int:
    """Gas, and on rollups of the OP stack the share of L1, which is no gas but leaves the lane all
    the same. Arbitrum counts its share in ``gasUsed``.
    https://docs.optimism.io/op-stack/transactions/fees
    """
    gas = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
    return gas + int(receipt.get("l1Fee") or "0x0", 16)
