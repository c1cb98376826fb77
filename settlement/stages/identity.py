"""Is this still the chain that we paid on? If not, nothing is signed until a person decides.

A replaced chain, a wrong endpoint or other code at the vault's address would each turn correct
bytes into a payment to the wrong place. Only a demo, whose chain is a local toy, may start over
on a new instance: its orders in flight are refunded, and the books write the old vault off, as they
do what its escrows held.
"""

from settlement.batching.nonces import ahead
from settlement.errors import ChainUnknown, NetworkStopped
from settlement.escrow import HOLDING
from settlement.escrowing.observe import chain_gone
from settlement.ids import TenantId
from settlement.ledger import journal
from settlement.ledger.accounts import Account
from settlement.money import Money
from settlement.order import Order, Status
from settlement.ports.bundle import Ports
from settlement.ports.chain import ChainIdentity, ChainPort
from settlement.ports.store import NetworkState, Store
from settlement.transitions import Change, move

IN_FLIGHT = frozenset({Status.CAPTURING, Status.CAPTURED, Status.SUBMITTED, Status.CONFIRMING})
"""Orders that have tokens reserved in the vault of the chain that is gone."""


async def verify(ports: Ports, network: str) -> None:
    """Compare what the node says with what we know.

    Raises :class:`NetworkStopped` and stores the reason when they differ.
    """
    state = await ports.store.network(network)
    if state is None or state.stop_reason is not None:
        return
    problem = await mismatch(ports, state)
    if problem is not None:
        await ports.store.stop_network(network, problem, ports.clock.now())
        ports.log.error("network_stopped", network=network, reason=problem)
        raise NetworkStopped(problem)


async def mismatch(ports: Ports, state: NetworkState) -> str | None:
    """The difference in words, or ``None``."""
    return await difference(ports.chains[state.name], ports.store, state)


async def difference(
    chain: ChainPort, store: Store, state: NetworkState, *, may_lag: bool = True
) -> str | None:
    """What this chain and what we know of it do not agree about, in words, or ``None``.

    ``may_lag``: the nodes are not ours alone, so that a block which they do not have proves
    nothing. Raises :class:`~settlement.errors.ChainUnknown` then.
    """
    other = await replaced(chain, state, may_lag=may_lag)
    return other or await _forgotten(chain, store, state)


async def replaced(chain: ChainPort, state: NetworkState, *, may_lag: bool = True) -> str | None:
    """Why this is another chain than the one that was paid on, or ``None``."""
    seen, known = await chain.identity(), state.identity
    if seen.genesis_hash != known.genesis_hash:
        return f"genesis is {seen.genesis_hash}, was {known.genesis_hash}: another chain"
    if (seen.vault_address, seen.vault_code_hash) != (known.vault_address, known.vault_code_hash):
        return f"the vault at {known.vault_address} is gone or has other code"
    if state.anchor_number is not None:
        found = await chain.block_hash(state.anchor_number)
        if found is None and may_lag:
            raise ChainUnknown(f"the nodes do not have final block {state.anchor_number} yet")
        if found != state.anchor_hash:
            return f"final block {state.anchor_number} is {found}, was {state.anchor_hash}"
    return None


async def _forgotten(chain: ChainPort, store: Store, state: NetworkState) -> str | None:
    """A used nonce that we never gave out: a restored backup, or somebody else with our key.

    Asked before any stage runs, since an order that this database calls unpaid may be paid; by the
    newest block, since it would be refunded long before the payment is final; and by every mempool,
    since what waits there would be paid a second time. What we signed ourselves is stored with its
    nonce before any node hears of it, so that no honest one counts further than we do.
    """
    known = [row.lane.address for row in await store.lanes(state.name)]
    for address in dict.fromkeys([*known, *chain.lanes]):
        counts = await chain.nonces(address)
        # Our count is read after the chain's, so that it can only be ahead of it.
        rows = {row.lane.address: row.lane.next_nonce for row in await store.lanes(state.name)}
        ours = rows.get(address, 0)  # one that was added since: none of its nonces is known
        if counts.known > ours:
            return ahead(address, counts, ours)
    return None


async def start_over(
    ports: Ports, state: NetworkState, tenants: list[TenantId], identity: ChainIdentity
) -> list[Order]:
    """Demo only: refund what was in flight on the lost chain and register its successor.

    Every step can be repeated, so a crash in between is finished by the next start. Returns the
    orders that are refunded.
    """
    now = ports.clock.now()
    orders = await ports.store.unfinished(state.name, IN_FLIGHT)
    changes = [_refund(ports, order) for order in orders]
    await ports.store.apply_many(changes)
    for tenant_id in tenants:
        for balance in await ports.store.balances(tenant_id):
            left = balance.debits_posted - balance.credits_posted
            lost = balance.account in (Account.VAULT, Account.HOT_WALLET) and left > 0
            if lost and balance.asset.network == state.name:
                key = f"{state.name}:{state.instance}:{balance.account}:{balance.asset.id}"
                booking = journal.chain_replaced(Money(left, balance.asset), balance.account)
                await ports.store.book(tenant_id, key, booking, now)
    for escrow in await ports.store.escrows_in(state.name, HOLDING):
        if escrow.submitted is not None:
            await ports.store.withdraw_call(escrow.submitted.call_id, "chain_replaced", now)
        await ports.store.apply_escrow(chain_gone(escrow, now))
    await ports.store.register_network(state.name, identity, now)
    return orders


def _refund(ports: Ports, order: Order) -> Change:
    patch = {"reason": "chain_replaced"}
    books = (journal.unreserved(order),)
    return move(
        order,
        Status.REFUND_PENDING,
        ports.clock.now(),
        patch=patch,
        bookings=books,
        under_lease=False,
    )
