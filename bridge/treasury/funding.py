"""Moving money onto a chain so that the chain and the ledger agree, whatever happens in between.

The signed transaction is stored with its amount before it is sent, and booked under its own hash
once it is mined. After a crash the same bytes are delivered again and the same key is booked
again: each has one effect. A transaction that lost its nonce to another can never have an effect,
and is forgotten. Each of these is told to the :class:`FundingBooks`, the intent before anything.
"""

import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from bridge.locks import hold
from chain.errors import NonceTooLow
from chain.evm.treasury import Treasury
from chain.signers import SignedBytes
from settlement.errors import ChainRefused, InvalidInput
from settlement.ledger import journal
from settlement.ledger.accounts import Account
from settlement.ledger.entry import Booking
from settlement.money import Asset, Money

_FILE = "treasury.json"
_LOCK = "treasury.lock"
_LOCK_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Goal:
    """What shall be where: ``amount`` at ``to``, in ``tenant_id``'s books on ``account``."""

    tenant_id: str
    account: Account
    amount: Money
    to: str


@dataclass(frozen=True, slots=True)
class Funding:
    """A goal with the signed bytes that reach it (``raw`` is hex), on the chain they are for."""

    goal: Goal
    genesis_hash: str
    raw: str
    ref: str

    @property
    def key(self) -> str:
        """The booking's permanent business key."""
        return f"treasury:{self.ref}"

    @property
    def booking(self) -> Booking:
        return journal.treasury_funded(self.goal.amount, self.goal.account)


class FundingBooks(Protocol):
    """Where funding is written down: ledger and audit trail."""

    async def asked(self, funding: Funding) -> None:
        """It is signed, and about to be sent."""
        ...

    async def funded(self, funding: Funding) -> None:
        """It is mined: book it, once, and say so in the same transaction."""
        ...

    async def failed(self, funding: Funding, reason: str) -> None:
        """It will never have an effect."""
        ...


class FundingDesk:
    """One treasury transaction at a time, over all processes that share ``folder``."""

    def __init__(self, folder: Path, books: FundingBooks) -> None:
        self._path = folder / _FILE
        self._lock = folder / _LOCK
        self._books = books

    async def fund(
        self,
        treasury: Treasury,
        genesis_hash: str,
        goal: Goal,
        sign: Callable[[], Awaitable[SignedBytes]],
    ) -> Funding:
        """Sign, store, deliver, book; first finishes what an earlier call left undone.

        Raises kinds of :class:`~settlement.errors.ChainError`; after a ``ChainUnknown`` the next
        call goes on with the same bytes.
        """
        if goal.amount.amount_minor <= 0:
            raise InvalidInput("the amount must be positive", param="amount")
        with hold(self._lock, limit_s=_LOCK_LIMIT_S):
            await self._finish(treasury, genesis_hash)
            signed = await sign()
            funding = Funding(goal, genesis_hash, signed.raw.hex(), signed.hash)
            await self._books.asked(funding)
            _write(self._path, funding)
            await self._deliver(treasury, funding)
            return funding

    async def finish(self, treasury: Treasury, genesis_hash: str) -> Funding | None:
        """Complete what a crash interrupted; returns it if it took effect."""
        with hold(self._lock, limit_s=_LOCK_LIMIT_S):
            return await self._finish(treasury, genesis_hash)

    async def forget(self) -> None:
        """Drop what was interrupted: the contract that it was meant for is gone."""
        funding = _read(self._path)
        if funding is not None:
            await self._give_up(funding, "the contract that it was meant for is gone")

    async def _finish(self, treasury: Treasury, genesis_hash: str) -> Funding | None:
        funding = _read(self._path)
        if funding is None:
            return None
        if funding.genesis_hash != genesis_hash:
            await self._give_up(funding, "its chain is gone, and its money with it")
            return None
        try:
            await self._deliver(treasury, funding)
        except NonceTooLow as error:
            await self._give_up(funding, str(error))
            return None
        return funding

    async def _deliver(self, treasury: Treasury, funding: Funding) -> None:
        try:
            await treasury.deliver(bytes.fromhex(funding.raw))
        except ChainRefused as error:
            if not isinstance(error, NonceTooLow) and not error.transient:
                await self._give_up(funding, str(error))  # a definite no: nothing has moved
            raise
        await self._books.funded(funding)
        self._path.unlink()

    async def _give_up(self, funding: Funding, reason: str) -> None:
        await self._books.failed(funding, reason)
        self._path.unlink()


def _write(path: Path, funding: Funding) -> None:
    draft = path.with_suffix(".tmp")
    with draft.open("w") as file:
        json.dump(asdict(funding), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


def _read(path: Path) -> Funding | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    goal = content.pop("goal")
    amount = Money(goal["amount"]["amount_minor"], Asset(**goal["amount"]["asset"]))
    return Funding(Goal(goal["tenant_id"], Account(goal["account"]), amount, goal["to"]), **content)
