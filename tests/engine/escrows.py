"""Escrows in the simulated world: what their contract would do, and what must hold afterwards."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace

from chain.simulated import VAULT, SimulatedChain
from settlement.escrow import (
    ActionStatus,
    Escrow,
    EscrowChange,
    EscrowStatus,
    OnChain,
    Release,
    Terms,
    What,
)
from settlement.escrowing.attest import request
from settlement.ledger.accounts import Account
from settlement.ports.accepting import Idempotency
from settlement.ports.bundle import Ports
from settlement.ports.chain import ContractCall
from tests.support.engine import Engine, an_engine
from tests.support.escrows import DUSD, NOON, agree

CONTRACT = "0xescrow"
PART = 40
Rounds = Callable[..., Awaitable[None]]


class SimulatedEscrows:
    """Implements :class:`settlement.ports.escrow.EscrowPort`: knows releases only."""

    def __init__(self, chain: SimulatedChain) -> None:
        self.chain = chain

    def call(self, terms: Terms, what: What) -> ContractCall:
        assert isinstance(what, Release)
        return ContractCall(CONTRACT, f"{terms.order_id} {what.total_minor}".encode())

    def executed(self, order_id: str, until: int | None = None) -> list[int]:
        """Totals of the calls that were made for the escrow, up to a block."""
        blocks = self.chain.blocks if until is None else self.chain.blocks[: until + 1]
        calls = [t.call for block in blocks for t in block.transactions]
        words = [c.data.decode().split() for c in calls if getattr(c, "to", "") == CONTRACT]
        return [int(total) for named, total in words if named == order_id]

    async def on_chain(self, escrow: Escrow) -> OnChain:
        final = (await self.chain.head()).final_number
        totals = self.executed(escrow.terms.order_id, final)
        released = max(totals, default=0)
        ended = released == escrow.terms.amount_minor
        return OnChain(final, NOON, released, 0, None, dispute_open=False, ended=ended)


async def an_escrow_order() -> Engine:
    """A deployment whose only order settles to an escrow that the first lane operates."""
    engine = await an_engine()
    escrows = {"local": SimulatedEscrows(engine.chain)}
    policy = replace(engine.ports.policy, escrow_poll_ms=2_000)
    engine.ports = replace(engine.ports, escrows=escrows, policy=policy)
    order, _ = await agree(engine.scene, contract=CONTRACT, operator="0xlane0")
    await engine.scene.fund(order.token.amount_minor)
    engine.chain.give(VAULT, tokens=order.token.amount_minor)
    engine.orders[order.id] = order
    return engine


def the_escrow(engine: Engine) -> Escrow:
    [row] = engine.store.tables.escrows.values()
    return row.escrow


async def released(engine: Engine, ports: Ports, rounds: Rounds) -> None:
    """The oracle's word comes once, and a part is the payee's."""
    await rounds(engine, ports, 8)
    await attest(engine)
    await rounds(engine, ports, 8)


async def withdrawn(engine: Engine, ports: Ports, rounds: Rounds) -> None:
    """While the call waits for a paused lane, the payee is listed, and later cleared."""
    await rounds(engine, ports, 8)
    await attest(engine)
    await engine.store.pause_network("local", engine.clock.now(), by="a person")
    try:
        await rounds(engine, ports, 2)
        engine.screening.named.add(the_escrow(engine).terms.payee)
        await rounds(engine, ports, 4)
        assert the_escrow(engine).actions[0].status is ActionStatus.HELD
    finally:
        engine.screening.named.clear()
        await engine.store.resume_network("local", engine.clock.now())
    await rounds(engine, ports, 8)


async def attest(engine: Engine) -> None:
    now = engine.clock.now()

    def attest(escrow: Escrow) -> EscrowChange:
        return request(escrow, Release(PART, "0x", "0x"), "the word", now)

    escrow = the_escrow(engine)
    assert escrow.status is EscrowStatus.FUNDED
    key = Idempotency("scan-1", "body")
    await engine.store.attest(escrow.tenant_id, escrow.id, attest, key, now)


def escrows_wait(engine: Engine) -> bool:
    """Whether an escrow still has to be moved, or told of."""
    for row in engine.store.tables.escrows.values():
        done = (ActionStatus.FINAL, ActionStatus.FAILED)
        if any(action.status not in done for action in row.escrow.actions):
            return True
        if row.escrow.status is EscrowStatus.AWAITING_FUNDING or row.told < row.escrow.version:
            return True
    return False


async def escrows_agree(engine: Engine) -> None:
    """Each word was carried out once; the books hold what the purse does; the dashboard says so."""
    for row in engine.store.tables.escrows.values():
        escrow = row.escrow
        port = engine.ports.escrows["local"]
        assert isinstance(port, SimulatedEscrows)
        made = Counter(port.executed(escrow.terms.order_id))
        assert all(count == 1 for count in made.values()), made
        assert escrow.released_minor == max(made, default=0) == PART * len(escrow.actions)
        held = await engine.store.totals(Account.ESCROW_HELD, DUSD)
        assert held == escrow.left_minor == escrow.terms.amount_minor - escrow.released_minor
        note = engine.cards.notes[f"pi_{escrow.terms.order_id}"]
        assert note["escrow_state"] == escrow.status
        events = [e.type for e in engine.store.tables.events if e.type == "escrow.released"]
        assert len(events) == len(escrow.actions)
