"""The chain side, free of any one chain's notions. One adapter per family (EVM, Solana, …).

Methods that talk to a node raise :class:`~settlement.errors.ChainUnknown` when no definite
answer came and :class:`~settlement.errors.ChainRefused` for a definite no.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from settlement.ids import OrderId, TxRef
from settlement.money import Asset


@dataclass(frozen=True, slots=True)
class Payout:
    """One row of a batch: ``amount_minor`` of the batch's asset to ``wallet`` (normal form)."""

    order_id: OrderId
    wallet: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class BatchCall:
    """What the vault is asked to do, once: the id is the on-chain replay guard."""

    batch_id: int
    asset: Asset
    payouts: tuple[Payout, ...]


@dataclass(frozen=True, slots=True)
class Transfer:
    """Native coin from the lane's own account to one order's wallet, outside the vault.

    It carries the batch's id and root as a memo, so that it says by itself which order it paid.
    """

    batch_id: int
    payout: Payout


@dataclass(frozen=True, slots=True)
class ContractCall:
    """A call of a contract that pays no order: ``data`` to ``to``, with native coin if any."""

    to: str
    data: bytes
    value_minor: int = 0


@dataclass(frozen=True, slots=True)
class SelfTransfer:
    """Nothing to nobody: uses up a nonce, so that what was signed for it can never be mined."""


Call = BatchCall | Transfer | ContractCall | SelfTransfer
"""Whatever a lane may sign; ``native`` says which coin a :class:`Transfer` moves."""


@dataclass(frozen=True, slots=True)
class Fees:
    """Fee bids of one attempt, in the native coin's minor units per unit of gas."""

    max_fee_wei: int
    priority_fee_wei: int


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """Bytes that can be sent any number of times with one effect."""

    ref: TxRef
    raw: bytes
    nonce: int
    fees: Fees
    gas_limit: int


@dataclass(frozen=True, slots=True)
class Head:
    """The newest block, and the newest one that will not be reorganised away."""

    number: int
    hash: str
    final_number: int


@dataclass(frozen=True, slots=True)
class Nonces:
    """An account's next nonce: ``mined`` by the newest block, ``known`` by whichever endpoint has
    heard of most, what waits in its mempool included. Never below ``mined``.
    """

    mined: int
    known: int


@dataclass(frozen=True, slots=True)
class Inclusion:
    """A transaction in a block of the canonical chain, as read now.

    ``executed``: it did not revert. ``succeeded``: the vault says that it paid the batch.
    ``skipped`` holds the indices of payouts that the vault could not make, ``paid_minor`` the sum
    of those it made (``None``: not said). ``fee_paid_wei`` is
    the gas used times the price really paid, consumed by a reverted transaction as well.
    """

    ref: TxRef
    block_number: int
    block_hash: str
    succeeded: bool
    skipped: frozenset[int]
    fee_paid_wei: int
    executed: bool
    paid_minor: int | None = None


@dataclass(frozen=True, slots=True)
class PaidBatch:
    """A batch that was paid in a final block, as read from the chain alone: by the vault, or
    (``single``) by a transfer of the lane's.

    ``rows`` are wallet (normal form) and amount of each payout, in the batch's order; ``raw`` the
    signed bytes, empty where the node no longer gives them.
    """

    batch_id: int
    root: str
    asset: Asset
    lane_address: str
    transaction: SignedTransaction
    inclusion: Inclusion
    rows: tuple[tuple[str, int], ...]
    single: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """A transaction that a lane sent in a final block, as read from the chain alone.

    ``idle``: it only used up its nonce. ``single``: what it paid, if it was a transfer to an order.
    """

    ref: TxRef
    nonce: int
    idle: bool
    single: PaidBatch | None = None


@dataclass(frozen=True, slots=True)
class ChainIdentity:
    """What must not change under us: the first block, and the code that holds the money."""

    genesis_hash: str
    vault_address: str
    vault_code_hash: str


class ChainPort(Protocol):
    """``lanes`` are the accounts that the deployment signs with, ``signs_for`` those of them whose
    keys are at hand in this process."""

    network: str
    native: Asset
    lanes: Collection[str]
    signs_for: Collection[str]
    max_batch: int
    block_ms: int

    def normalize_address(self, text: str) -> str:
        """The address in its normal form.

        Raises :class:`~settlement.errors.InvalidAddress`: malformed, wrong checksum, zero, or
        one of the contracts that would swallow the tokens.
        """
        ...

    def batch_root(self, call: BatchCall) -> str:
        """The Merkle root of (order id, wallet, asset, amount) that the vault stores."""
        ...

    def batch_size(self, gas: int) -> int:
        """How many payouts a batch with that much gas can make; at most ``max_batch``."""
        ...

    async def singly(self, wallets: Sequence[str]) -> frozenset[str]:
        """Those of ``wallets`` to which native coin costs less by a :class:`Transfer` each than in
        one batch. Never one with code: what refuses coins is judged by the vault.
        """
        ...

    async def identity(self) -> ChainIdentity: ...

    async def head(self) -> Head: ...

    async def block_hash(self, number: int) -> str | None:
        """Hash of the canonical block, ``None`` when the chain is shorter."""
        ...

    async def nonce(self, lane_address: str, block_number: int | None = None) -> int:
        """The next nonce by the newest block, or by a given one (not counting the mempool)."""
        ...

    async def nonces(self, lane_address: str) -> Nonces:
        """The next nonce with and without what waits in mempools, in one look.

        A chain whose nodes keep no mempool gives the same number twice.
        """
        ...

    async def fees(self) -> Fees:
        """What to bid now for prompt inclusion."""
        ...

    async def preflight(self, lane_address: str, call: Call) -> None:
        """Would this call go through now?

        Raises :class:`~settlement.errors.ChainPaused` (wait),
        :class:`~settlement.errors.ChainLimited` (less of it may) or
        :class:`~settlement.errors.ChainRefused` with the reason.
        """
        ...

    async def refusal(self, lane_address: str, call: Call) -> str | None:
        """Why the newest final block refuses the call for good, as a quorum of nodes says; ``None``
        when it does not. What :meth:`preflight` says is one node's word, and no more than a reason
        to wait.

        Raises :class:`~settlement.errors.ChainUnknown` where too few nodes say the same.
        """
        ...

    async def sign(
        self,
        lane_address: str,
        call: Call,
        nonce: int,
        replaces: Fees | None,
        fee_cap_wei: int | None = None,
    ) -> SignedTransaction:
        """Price and sign one attempt; sends nothing. ``replaces`` asks for a valid fee bump.

        Raises :class:`~settlement.errors.FeeCapReached` when no valid bid is within
        ``fee_cap_wei`` per unit of gas.
        """
        ...

    async def send(self, raw: bytes) -> None:
        """Hand the bytes to the network; already known or already mined is success."""
        ...

    async def inclusions(
        self, refs: Sequence[TxRef], *, complete: bool = False
    ) -> Sequence[Inclusion]:
        """Those of ``refs`` that are in a canonical block, each read with that block's hash.

        One that is left out proves nothing: nodes lag. With ``complete`` what is left out is in no
        block that any node which answered knows; raises ``ChainUnknown`` where they differ.
        """
        ...

    async def used_by(self, lane_address: str, nonce: int, final_number: int) -> TxRef | None:
        """The transaction that used up this nonce, which the final block ``final_number`` counts.

        ``None``: it did so longer ago than nodes remember. Raises ``ChainUnknown`` while nodes do
        not agree.
        """
        ...

    async def batch_recorded(self, batch_id: int) -> bool:
        """Whether the vault already holds this batch id's root (newest block)."""
        ...

    async def balance(self, asset: Asset, address: str) -> int:
        """Minor units of ``asset`` (token or native coin) at ``address``, newest block."""
        ...


class ChainHistory(Protocol):
    """For repairs alone: what the chain remembers when we do not."""

    async def paid_batches(self, since_block: int = 0) -> Sequence[PaidBatch]:
        """Every batch that the vault paid in final blocks from ``since_block`` on, by block."""
        ...

    async def sent_by(self, lane_address: str, nonce: int, since_block: int) -> Sequence[Sent]:
        """Everything that the lane sent with ``nonce`` or a later one in final blocks after
        ``since_block``."""
        ...
