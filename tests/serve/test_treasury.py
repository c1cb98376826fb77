"""Money moves onto the chain once and is booked once, wherever the process ends in between."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bridge.storage.memory import MemoryStore
from bridge.treasury.funding import Funding, FundingDesk, Goal
from bridge.treasury.holdings import adoption, holdings
from chain.evm.treasury import Treasury
from chain.rpc import RpcClient
from chain.signers import SignedBytes
from settlement.errors import ChainRefused, ChainUnknown, InvalidInput, InvariantBroken
from settlement.ledger.accounts import Account
from settlement.money import Money
from settlement.ports.clock import SystemClock
from tests.serve.conftest import Ground

TENANT = "ten_treasury"
AMOUNT = 5_000_000


class Crash(Exception):
    """The process ends here."""


class Books:
    """Ledger and trail in memory; ``crashes`` ends the process before it books."""

    def __init__(self, store: MemoryStore, *, crashes: bool = False) -> None:
        self.store = store
        self.crashes = crashes
        self.told: list[str] = []

    async def asked(self, _funding: Funding) -> None:
        self.told.append("asked")

    async def funded(self, funding: Funding) -> None:
        if self.crashes:
            raise Crash
        now = SystemClock().now()
        if await self.store.book(funding.goal.tenant_id, funding.key, funding.booking, now):
            self.told.append("funded")

    async def failed(self, _funding: Funding, reason: str) -> None:
        assert reason
        self.told.append("failed")


def goal_of(ground: Ground, amount_minor: int = AMOUNT) -> Goal:
    asset = ground.deployment.asset("DUSD")
    return Goal(TENANT, Account.VAULT, Money(amount_minor, asset), ground.deployment.vault)


def minting(ground: Ground) -> Callable[[], Awaitable[SignedBytes]]:
    token = ground.deployment.tokens[0].address
    return lambda: ground.treasury.prepare_mint(token, ground.deployment.vault, AMOUNT)


def desk_in(folder: Path, store: MemoryStore) -> FundingDesk:
    return FundingDesk(folder, Books(store))


def crashing_desk(folder: Path) -> FundingDesk:
    return FundingDesk(folder, Books(MemoryStore(), crashes=True))


async def both_books(ground: Ground, store: MemoryStore) -> tuple[int, int]:
    """The vault's dollars by the chain and by the ledger."""
    vault = (await holdings(store, ground.chain, ground.deployment))[0]
    return vault.chain_minor, vault.ledger_minor


async def test_an_amount_that_is_not_positive_is_refused(ground: Ground, tmp_path: Path) -> None:
    """Nothing is signed for it."""

    async def never() -> SignedBytes:
        raise AssertionError("signed")

    with pytest.raises(InvalidInput):
        await desk_in(tmp_path, MemoryStore()).fund(
            ground.treasury, ground.genesis, goal_of(ground, 0), never
        )


async def test_what_would_revert_is_neither_booked_nor_kept(ground: Ground, tmp_path: Path) -> None:
    """The node's refusal comes back, and the next call starts clean."""
    store = MemoryStore()
    books = Books(store)
    desk = FundingDesk(tmp_path, books)
    token = ground.deployment.tokens[0].address
    too_much = lambda: ground.treasury.prepare_transfer(token, ground.deployment.vault, 1)  # noqa: E731
    with pytest.raises(ChainRefused):
        await desk.fund(ground.treasury, ground.genesis, goal_of(ground), too_much)
    assert books.told == []
    assert await desk.finish(ground.treasury, ground.genesis) is None
    assert await both_books(ground, store) == (0, 0)


async def test_a_transaction_whose_nonce_is_taken_is_forgotten(
    ground: Ground, tmp_path: Path
) -> None:
    """Signed and stored, then another transaction of the same account came first."""
    store, signed = MemoryStore(), await minting(ground)()

    async def overtaken() -> SignedBytes:
        await ground.treasury.deploy_vault([])
        return signed

    books = Books(store)
    desk = FundingDesk(tmp_path, books)
    with pytest.raises(ChainRefused):
        await desk.fund(ground.treasury, ground.genesis, goal_of(ground), overtaken)
    assert books.told == ["asked"]
    assert await desk.finish(ground.treasury, ground.genesis) is None
    assert books.told == ["asked", "failed"]
    assert await both_books(ground, store) == (0, 0)


async def test_a_crash_before_booking_is_finished_with_the_same_bytes(
    ground: Ground, tmp_path: Path
) -> None:
    """The money is on the chain; the next start books it, and only it."""
    with pytest.raises(Crash):
        await crashing_desk(tmp_path).fund(
            ground.treasury, ground.genesis, goal_of(ground), minting(ground)
        )
    store = MemoryStore()
    assert await both_books(ground, store) == (AMOUNT, 0)
    for _ in range(2):
        await desk_in(tmp_path, store).finish(ground.treasury, ground.genesis)
        assert await both_books(ground, store) == (AMOUNT, AMOUNT)


async def test_a_crash_before_sending_is_finished_too(ground: Ground, tmp_path: Path) -> None:
    """A node that is away leaves the stored bytes; the next call sends them before its own."""
    nobody = RpcClient(["http://127.0.0.1:1"])
    store, away = MemoryStore(), Treasury(ground.treasury.network, nobody, Never())
    desk, signed = desk_in(tmp_path, store), await minting(ground)()

    async def sign() -> SignedBytes:
        return signed

    with pytest.raises(ChainUnknown):
        await desk.fund(away, ground.genesis, goal_of(ground), sign)
    await nobody.close()
    assert await both_books(ground, store) == (0, 0)
    await desk.fund(ground.treasury, ground.genesis, goal_of(ground), minting(ground))
    assert await both_books(ground, store) == (2 * AMOUNT, 2 * AMOUNT)


async def test_what_was_meant_for_a_lost_chain_is_forgotten(ground: Ground, tmp_path: Path) -> None:
    """The bytes would be valid on its successor, which has the same chain id."""
    with pytest.raises(Crash):
        await crashing_desk(tmp_path).fund(
            ground.treasury, "0xanother", goal_of(ground), minting(ground)
        )
    store = MemoryStore()
    assert await desk_in(tmp_path, store).finish(ground.treasury, ground.genesis) is None
    assert (await both_books(ground, store))[1] == 0


async def test_money_that_somebody_sent_is_adopted_once(ground: Ground) -> None:
    """The difference is booked; who books the same difference again changes nothing."""
    await ground.treasury.deliver((await minting(ground)()).raw)
    store, now = MemoryStore(), SystemClock().now()
    vault = (await holdings(store, ground.chain, ground.deployment))[0]
    assert vault.difference_minor == AMOUNT
    found = await adoption(store, vault, TENANT)
    assert await store.book(TENANT, found.key, found.booking, now)
    assert not await store.book(TENANT, found.key, found.booking, now)
    assert await both_books(ground, store) == (AMOUNT, AMOUNT)
    agreed = (await holdings(store, ground.chain, ground.deployment))[0]
    with pytest.raises(InvariantBroken):
        await adoption(store, agreed, TENANT)


class Never:
    """A signer that is not asked."""

    address = "0x" + "0" * 40

    async def sign(self, _: object) -> SignedBytes:
        raise AssertionError("signed anew")
