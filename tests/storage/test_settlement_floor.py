"""What the settlement benchmark measures itself against does the whole of the work."""

from benchmarks import backlog, settlement_floor
from bridge.storage.store import PostgresStore
from settlement.ledger import journal
from settlement.ledger.accounts import Account
from settlement.money import Asset, Money
from settlement.ports.chain import ChainIdentity
from tests.support.builders import NOW

DUSD = Asset("DUSD", 6, "local")


async def test_the_floor_completes_what_does_not_fill_a_batch(
    postgres_store: PostgresStore, database_dsn: str
) -> None:
    """Any number of orders can be asked for: the last batch holds the rest."""
    store, orders = postgres_store, settlement_floor.BATCH + 3
    await store.register_network("local", ChainIdentity("0xg", "0xv", "0xc"), NOW)
    await store.register_lane("local", "0xlane", 0)
    stock = Money(10**15, DUSD)
    await store.book(backlog.TENANT, "fund", journal.treasury_funded(stock, Account.VAULT), NOW)
    await backlog.fill(database_dsn, 0, orders)
    assert await settlement_floor.orders_per_s(database_dsn, orders) > 0
    counts = await store.pool.fetch("SELECT order_count FROM batches ORDER BY id")
    assert [row[0] for row in counts] == [settlement_floor.BATCH, 3]
    left = "SELECT count(*) FROM ledger_entries WHERE state = 'pending'"
    assert await store.pool.fetchval(left) == 0
