"""A chain in memory, for whoever tests the rules of money without a node: ``SimulatedChain``.

It has what a settlement engine can be hurt by: a mempool that forgets and wants better bids, blocks
that are reorganised away, a base fee, accounts that run dry, a vault that can be paused, emptied or
refuse a recipient, and nodes that lag behind or answer nothing. What has been signed is known by
its bytes, so that the same bytes can be sent again after any crash.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

from chain.errors import InsufficientFunds, NonceTooLow, ReplacementUnderpriced
from chain.resubmit import bid, market_fees
from settlement.errors import (
    ChainError,
    ChainLimited,
    ChainPaused,
    ChainRefused,
    ChainUnknown,
    is_for_good,
)
from settlement.ids import TxRef
from settlement.money import Asset
from settlement.ports.chain import (
    BatchCall,
    Call,
    ChainIdentity,
    ContractCall,
    Fees,
    Head,
    Inclusion,
    Nonces,
    SignedTransaction,
    Transfer,
)

GAS_PER_PAYOUT = 30_000
GAS_FRAME = 50_000
VAULT = "0xvault"


@dataclass(frozen=True, slots=True)
class Transaction:
    """What the signed bytes say."""

    ref: TxRef
    sender: str
    nonce: int
    call: Call
    fees: Fees
    gas_limit: int


@dataclass
class State:
    """What the chain has come to at one block. Balances in minor units."""

    nonces: dict[str, int] = field(default_factory=dict)
    coins: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    roots: dict[int, str] = field(default_factory=dict)
    receipts: dict[TxRef, Inclusion] = field(default_factory=dict)


@dataclass(frozen=True)
class Block:
    number: int
    hash: str
    transactions: tuple[Transaction, ...]
    state: State


class SimulatedChain:
    """Implements :class:`settlement.ports.chain.ChainPort`; blocks come when :meth:`mine` is told.

    ``lag`` shows reads a chain that is that many blocks shorter; ``receiptless`` nodes have lost
    their index, and say that there is no receipt. ``before`` is called with the name of each method
    that talks to a node, and may raise in its place; ``after`` likewise once the effect has been
    had.
    """

    def __init__(self, network: str = "local", *, max_batch: int = 5, final_depth: int = 3) -> None:
        self.network = network
        self.native = Asset("ETH", 18, network)
        self.lanes: Collection[str] = ()
        self.signs_for: Collection[str] = ()
        self.max_batch = max_batch
        self.block_ms = 2_000
        self.final_depth = final_depth
        self.lag = 0
        self.receiptless = False
        self.paused = False
        self.base_fee_wei = 10**9
        self.refusing: set[str] = set()
        self.given: Counter[str] = Counter()
        self.mempool: dict[tuple[str, int], Transaction] = {}
        self.before: Callable[[str], None] = lambda _method: None
        self.after: Callable[[str], None] = lambda _method: None
        self._signed: dict[bytes, Transaction] = {}
        self._forks = 0
        self.blocks = [Block(0, "0xgenesis", (), State())]

    def add_lane(self, address: str) -> None:
        """An account of the deployment's, whose key is at hand."""
        self.lanes = (*self.lanes, address)
        self.signs_for = (*self.signs_for, address)

    # What happens to the chain --------------------------------------------------------------

    @property
    def state(self) -> State:
        """As of the newest block. Gifts are given to the whole past, so no reorg takes them."""
        return self.blocks[-1].state

    def give(self, address: str, *, coins: int = 0, tokens: int = 0) -> None:
        """Put (or, negative, take) balances, out of nowhere and into every block.

        ``given`` counts the coins.
        """
        self.given[address] += coins
        for block in self.blocks:
            block.state.coins[address] = block.state.coins.get(address, 0) + coins
            block.state.tokens[address] = block.state.tokens.get(address, 0) + tokens

    def mine(self, count: int = 1) -> None:
        """New blocks with whatever is executable and pays the base fee."""
        for _ in range(count):
            number = len(self.blocks)
            name = f"0x{hashlib.sha256(f'{self._forks}:{number}'.encode()).hexdigest()[:16]}"
            state = deepcopy(self.state)
            block = Block(number, name, tuple(self._executed(state, number, name)), state)
            self.blocks.append(block)
            self.base_fee_wei += 1  # no two moments have the same price

    def reorganise(self, depth: int, *, forget: bool) -> None:
        """Replace the last ``depth`` blocks by one more empty ones; their transactions go back to
        the mempool, or (``forget``) nowhere."""
        gone = self.blocks[-depth:]
        del self.blocks[-depth:]
        self._forks += 1
        pool, self.mempool = self.mempool, {}
        self.mine(depth + 1)
        self.mempool = pool
        for transaction in [t for block in gone for t in block.transactions]:
            if not forget:
                self.mempool.setdefault((transaction.sender, transaction.nonce), transaction)

    def evict(self) -> None:
        """The mempool forgets everything."""
        self.mempool.clear()

    def _executed(self, state: State, number: int, name: str) -> list[Transaction]:
        done = []
        for key in sorted(self.mempool):
            transaction = self.mempool[key]
            if transaction.nonce < state.nonces.get(transaction.sender, 0):
                del self.mempool[key]
                continue
            in_turn = transaction.nonce == state.nonces.get(transaction.sender, 0)
            worth = _cost(transaction) <= state.coins.get(transaction.sender, 0)
            if in_turn and worth and transaction.fees.max_fee_wei >= self.base_fee_wei:
                state.receipts[transaction.ref] = self._execute(state, transaction, number, name)
                del self.mempool[key]
                done.append(transaction)
        return done

    def _execute(self, state: State, tx: Transaction, number: int, name: str) -> Inclusion:
        price = min(tx.fees.max_fee_wei, self.base_fee_wei + tx.fees.priority_fee_wei)
        paid_wei = tx.gas_limit * price
        state.nonces[tx.sender] = tx.nonce + 1
        state.coins[tx.sender] -= paid_wei
        problem = self._problem(state, tx.sender, tx.call)
        skipped: frozenset[int] = frozenset()
        if problem is None:
            skipped = self._apply(state, tx.sender, tx.call)
        done = problem is None
        paid = _paid(tx.call, skipped) if done and isinstance(tx.call, BatchCall) else None
        return Inclusion(tx.ref, number, name, paid is not None, skipped, paid_wei, done, paid)

    def _apply(self, state: State, sender: str, call: Call) -> frozenset[int]:
        skipped = set()
        if isinstance(call, BatchCall):
            state.roots[call.batch_id] = self.batch_root(call)
            holdings = state.coins if call.asset == self.native else state.tokens
            for index, payout in enumerate(call.payouts):
                if payout.wallet in self.refusing:
                    skipped.add(index)
                    continue
                holdings[VAULT] -= payout.amount_minor
                holdings[payout.wallet] = holdings.get(payout.wallet, 0) + payout.amount_minor
        elif isinstance(call, Transfer):
            wallet, amount = call.payout.wallet, call.payout.amount_minor
            state.coins[sender] -= amount
            state.coins[wallet] = state.coins.get(wallet, 0) + amount
        return frozenset(skipped)

    def _problem(self, state: State, sender: str, call: Call) -> ChainError | None:
        if isinstance(call, BatchCall):
            if self.paused:
                return ChainPaused("the vault is paused")
            if call.batch_id in state.roots:
                return ChainRefused("the vault refuses: BatchAlreadyPaid")
            holdings = state.coins if call.asset == self.native else state.tokens
            if sum(p.amount_minor for p in call.payouts) > holdings.get(VAULT, 0):
                return ChainLimited("the vault refuses: InsufficientInventory")
        if isinstance(call, Transfer):
            if call.payout.wallet in self.refusing:
                return ChainRefused("the recipient refuses")
            if call.payout.amount_minor > state.coins.get(sender, 0):
                return ChainRefused("insufficient funds")
        if isinstance(call, ContractCall) and call.to in self.refusing:
            return ChainRefused("execution reverted")
        return None

    # What a node answers --------------------------------------------------------------------

    def normalize_address(self, text: str) -> str:
        return text

    def batch_root(self, call: BatchCall) -> str:
        return "0x" + hashlib.sha256(repr(call.payouts).encode()).hexdigest()

    def batch_size(self, gas: int) -> int:
        return max(0, min(self.max_batch, (gas - GAS_FRAME) // GAS_PER_PAYOUT))

    async def singly(self, wallets: Sequence[str]) -> frozenset[str]:
        self._talk("singly")
        coins = self._seen()[-1].state.coins
        return frozenset(w for w in wallets if not coins.get(w) and w not in self.refusing)

    async def identity(self) -> ChainIdentity:
        self._talk("identity")
        return ChainIdentity(self.blocks[0].hash, VAULT, "0xcode")

    async def head(self) -> Head:
        self._talk("head")
        block = self._seen()[-1]
        return Head(block.number, block.hash, block.number - self.final_depth)

    async def block_hash(self, number: int) -> str | None:
        self._talk("block_hash")
        seen = self._seen()
        return seen[number].hash if 0 <= number < len(seen) else None

    async def nonce(self, lane_address: str, block_number: int | None = None) -> int:
        self._talk("nonce")
        seen = self._seen()
        if block_number is not None and not 0 <= block_number < len(seen):
            raise ChainUnknown(f"block {block_number} is not here yet")
        block = seen[-1] if block_number is None else seen[block_number]
        return block.state.nonces.get(lane_address, 0)

    async def nonces(self, lane_address: str) -> Nonces:
        mined = known = await self.nonce(lane_address)
        while (lane_address, known) in self.mempool:
            known += 1
        return Nonces(mined, known)

    async def fees(self) -> Fees:
        self._talk("fees")
        return market_fees(self.base_fee_wei, 10**8)

    async def preflight(self, lane_address: str, call: Call) -> None:
        self._talk("preflight")
        problem = self._problem(self._seen()[-1].state, lane_address, call)
        if problem is not None:
            raise problem

    async def refusal(self, lane_address: str, call: Call) -> str | None:
        self._talk("refusal")
        final = self.blocks[max(0, len(self.blocks) - 1 - self.lag - self.final_depth)]
        problem = self._problem(final.state, lane_address, call)
        return str(problem) if is_for_good(problem) else None

    async def sign(
        self,
        lane_address: str,
        call: Call,
        nonce: int,
        replaces: Fees | None,
        fee_cap_wei: int | None = None,
    ) -> SignedTransaction:
        self._talk("sign")
        problem = self._problem(self._seen()[-1].state, lane_address, call)
        if problem is not None:
            raise problem
        fees = bid(market_fees(self.base_fee_wei, 10**8), replaces, fee_cap_wei)
        text = repr((self.network, lane_address, nonce, call, fees))
        ref = "0x" + hashlib.sha256(text.encode()).hexdigest()
        gas = _gas(call)
        signed = SignedTransaction(ref, bytes.fromhex(ref[2:]), nonce, fees, gas)
        self._signed[signed.raw] = Transaction(ref, lane_address, nonce, call, fees, gas)
        return signed

    async def send(self, raw: bytes) -> None:
        self._talk("send")
        transaction = self._signed[raw]
        self._accept(transaction)
        self.after("send")

    def _accept(self, new: Transaction) -> None:
        key = (new.sender, new.nonce)
        if new.ref in self.state.receipts:
            return
        if new.nonce < self.state.nonces.get(new.sender, 0):
            raise NonceTooLow(f"nonce {new.nonce} is used")
        if _cost(new) > self.state.coins.get(new.sender, 0):
            raise InsufficientFunds(f"{new.sender} has too little")
        old = self.mempool.get(key)
        if old is not None and old.ref != new.ref and not _outbids(new.fees, old.fees):
            raise ReplacementUnderpriced("both fees must rise by 10%")
        self.mempool[key] = new

    async def inclusions(
        self, refs: Sequence[TxRef], *, complete: bool = False
    ) -> Sequence[Inclusion]:
        self._talk("inclusions")
        if complete and self.lag:
            raise ChainUnknown("the nodes differ")
        receipts = {} if self.receiptless else self._seen()[-1].state.receipts
        return [receipts[ref] for ref in refs if ref in receipts]

    async def used_by(self, lane_address: str, nonce: int, final_number: int) -> TxRef | None:
        self._talk("used_by")
        blocks = self.blocks[: final_number + 1]
        spent = {(t.sender, t.nonce): t.ref for block in blocks for t in block.transactions}
        return spent.get((lane_address, nonce))

    async def batch_recorded(self, batch_id: int) -> bool:
        self._talk("batch_recorded")
        return batch_id in self._seen()[-1].state.roots

    async def balance(self, asset: Asset, address: str) -> int:
        self._talk("balance")
        state = self._seen()[-1].state
        return (state.coins if asset == self.native else state.tokens).get(address, 0)

    def _talk(self, method: str) -> None:
        self.before(method)

    def _seen(self) -> list[Block]:
        return self.blocks[: max(1, len(self.blocks) - self.lag)]


def _paid(call: BatchCall, skipped: frozenset[int]) -> int:
    """What the vault says that it has paid."""
    return sum(p.amount_minor for i, p in enumerate(call.payouts) if i not in skipped)


def _gas(call: Call) -> int:
    if isinstance(call, BatchCall):
        return GAS_FRAME + GAS_PER_PAYOUT * len(call.payouts)
    return GAS_FRAME if isinstance(call, ContractCall) else 21_000


def _cost(transaction: Transaction) -> int:
    """The worst case, which a pool demands in advance."""
    return transaction.gas_limit * transaction.fees.max_fee_wei + _carried(transaction.call)


def _carried(call: Call) -> int:
    if isinstance(call, Transfer):
        return call.payout.amount_minor
    return call.value_minor if isinstance(call, ContractCall) else 0


def _outbids(new: Fees, old: Fees) -> bool:
    """Ten percent on both, as geth's pool wants it."""
    cap = new.max_fee_wei * 10 >= old.max_fee_wei * 11
    return cap and new.priority_fee_wei * 10 >= old.priority_fee_wei * 11
