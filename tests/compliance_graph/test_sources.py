"""Transfers on their way from files, chains and PostgreSQL into memory, each of them once."""

import csv
import gzip
from pathlib import Path

import pytest

from bridge.storage.store import PostgresStore
from compliance_graph.addressbook import AddressBook
from compliance_graph.backfill import read_file
from compliance_graph.live import LiveGraph
from compliance_graph.sources import Arrival, arrivals, transfer_key
from compliance_graph.sources.files import SourceError, TransferFile
from compliance_graph.store import FinalTakenBack, GraphStore, OutOfStep, Progress
from settlement.ports.transfers import ChainTransfer, TransferBlock

WORTH = {"ETH": 2.0, "USD": 1.0}


@pytest.fixture
def store(postgres_store: PostgresStore) -> GraphStore:
    return GraphStore(postgres_store.pool)


def moved(tx: str, src: str, dst: str, amount: int = 10**18, position: int = -1) -> ChainTransfer:
    return ChainTransfer(tx, position, "ETH", 18, src, dst, amount)


def block(number: int, *transfers: ChainTransfer, fork: str = "a") -> TransferBlock:
    return TransferBlock(
        number, f"{fork}{number}", f"{fork}{number - 1}", 1_600_000_000 + number, transfers
    )


def arrival(number: int, src: str, dst: str, amount: float = 1.0, asset: str = "ETH") -> Arrival:
    tx = f"0x{number}"
    key = transfer_key("ethereum", tx, asset, src, dst, amount, 0)
    return Arrival(key, number, tx, asset, src, dst, amount, 1, 1_600_000_000 + number)


def write_edges(path: Path, rows: list[tuple[object, ...]]) -> Path:
    with gzip.open(path, "wt", newline="") as file:
        csv.writer(file).writerows([("src", "dst", "value_eth", "timestamp"), *rows])
    return path


async def held(store: GraphStore, folder: Path | None = None) -> LiveGraph:
    live = LiveGraph(store, WORTH, folder)
    await live.refresh()
    return live


def sums(live: LiveGraph, address: str) -> tuple[float, float]:
    """What the account sent and received, in the policy's unit."""
    node = live.number(address)
    assert node is not None
    return float(live.sent(node).amount.sum()), float(live.received(node).amount.sum())


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (("a", "b", "-1", "5"), "row 2"),
        (("a", "b", "nan", "5"), "row 2"),
        (("", "b", "1", "5"), "row 2"),
        (("a", "b", "1", "soon"), "row 2"),
    ],
)
def test_refuses_a_file_with_a_row_that_makes_no_sense(tmp_path, row, complaint):
    """A torn table must not become a graph with holes; the message says where it is torn."""
    path = write_edges(tmp_path / "edges.csv.gz", [("a", "b", "1", "5"), row])
    with pytest.raises(SourceError, match=complaint):
        list(TransferFile(path, "ethereum", "ETH").chunks())


def test_refuses_a_file_without_its_columns(tmp_path):
    """Another kind of table is named as such."""
    path = tmp_path / "edges.csv"
    path.write_text("from,to,wei,when\na,b,1,5\n")
    with pytest.raises(SourceError, match="needs the columns"):
        list(TransferFile(path, "ethereum", "ETH").chunks())


def test_refuses_an_address_book_with_a_name_twice():
    """Two numbers for one account would halve its history."""
    with pytest.raises(ValueError, match="twice"):
        AddressBook.of(["a", "b", "a"])


async def test_refuses_what_somebody_else_has_read_meanwhile(store):
    """Two readers of one source: the second one's step changes nothing."""
    source = await store.source("chain:local", "chain", "local")
    await store.append(source, [arrival(0, "a", "b")], Progress(1, 0, 9))
    with pytest.raises(OutOfStep):
        await store.append(source, [arrival(0, "x", "y")], Progress(1, 0, 9))
    assert (await held(store)).number("x") is None


async def test_refuses_to_take_back_a_final_block(store):
    """Snapshots hold what is final: a chain that revokes it needs a person."""
    source = await store.source("chain:local", "chain", "local")
    await store.append(source, [arrival(0, "a", "b")], Progress(5, 3, 9))
    with pytest.raises(FinalTakenBack):
        await store.rewind(await store.source("chain:local", "chain", "local"), 2)


def test_a_transfer_that_a_node_tells_twice_is_one():
    """The same log twice is one transfer; two equal logs of one transaction are two."""
    twice = moved("0xT", "A", "B", position=4)
    told = list(arrivals("local", [block(1, twice, twice, moved("0xT", "A", "B", position=5))]))
    assert len(told) == 2
    assert len({one.key for one in told}) == 2


def test_the_address_book_answers_like_a_dictionary(tmp_path):
    """Before and after it was saved and mapped back, with what came late."""
    names = [f"0x{i:040x}" for i in range(1000)]
    book = AddressBook.of(names[:900])
    book.extend(names[900:])
    merged = book.merged()
    merged.save(tmp_path)
    for one in (book, AddressBook.load(tmp_path)):
        assert [one.number(name) for name in names] == list(range(1000))
        assert [one.name(i) for i in range(1000)] == names
        assert one.number("0xnobody") is None
    AddressBook.of(()).save(tmp_path)
    assert AddressBook.load(tmp_path).number("0x") is None


async def test_a_file_is_read_once_however_often_it_is_given(store, tmp_path):
    """Interrupted, it goes on where it was; given again, it adds nothing; Parquet reads alike."""
    rows = [(f"0x{i % 7}", f"0x{i % 5}", i, 1_600_000_000 + i) for i in range(100)]
    file = TransferFile(write_edges(tmp_path / "edges.csv.gz", rows), "ethereum", "ETH")
    source = await store.source(file.name, "file", "ethereum")
    first = next(iter(file.chunks()))[:40]
    await store.append(source, first, Progress(40, 39, -1))
    told: list[int] = []
    done = await read_file(store, file, lambda s: told.append(s.next_block))
    assert (done.transfers, done.complete, told[-1]) == (100, True, 100)
    assert (await read_file(store, file)).transfers == 100
    live = await held(store)
    assert sums(live, "0x3") == (
        2.0 * sum(i for i in range(100) if i % 7 == 3),
        2.0 * sum(i for i in range(100) if i % 5 == 3),
    )
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pytest.importorskip("pyarrow").table(
        dict(zip(("src", "dst", "value_eth", "timestamp"), zip(*rows, strict=True), strict=True))
    )
    parquet.write_table(table, tmp_path / "edges.parquet")
    same = next(iter(TransferFile(tmp_path / "edges.parquet", "ethereum", "ETH").chunks()))
    assert [(a.src, a.dst, a.amount) for a in same] == [(s, d, float(v)) for s, d, v, _ in rows]


async def test_an_address_on_two_chains_is_one_account(store):
    """The same key controls it everywhere; and an asset that is worth nothing says nothing."""
    one, two = [await store.source(f"chain:{n}", "chain", n) for n in ("ethereum", "base")]
    await store.append(one, [arrival(1, "0xa", "0xb", 3.0)], Progress(2, 1, 2))
    spam = arrival(2, "0xspam", "0xb", 1e12, "FREEMONEY")
    await store.append(two, [arrival(1, "0xc", "0xb", 5.0, "USD"), spam], Progress(3, 2, 2))
    live = await held(store)
    assert sums(live, "0xb") == (0.0, 11.0)
    assert [(s.source, s.last_block) for s in live.coverage] == [
        ("chain:ethereum", 1),
        ("chain:base", 2),
    ]


async def test_what_is_new_costs_no_rebuild_and_what_was_reorganised_is_gone(store, tmp_path):
    """A snapshot holds the final blocks; a rewound block's transfers leave memory, too; another
    process that begins with the snapshot sees the same."""
    source = await store.source("chain:local", "chain", "local")
    rows = [arrival(i, f"0x{i}", "0xhub") for i in range(20)]
    await store.append(source, rows, Progress(20, 14, 19, hashes=[(i, f"a{i}") for i in (18, 19)]))
    live = await held(store, tmp_path)
    assert await live.compact(least_rows=1)
    assert (live.held.graph.mark, len(live.held.graph.base.rows)) == (5, 15)
    source = await store.source("chain:local", "chain", "local")
    assert await store.block_hash(source, 19) == "a19"
    assert await store.rewind(source, 17) == 2
    source = await store.source("chain:local", "chain", "local")
    await store.append(source, [arrival(18, "0xother", "0xhub", 7.0)], Progress(19, 14, 18))
    for one in (live, await held(store, tmp_path)):
        await one.refresh()
        assert sums(one, "0xhub") == (0.0, 2.0 * (18 + 7))
        assert len(one.held.graph.base.rows) == 15


async def test_a_snapshot_of_another_database_is_not_believed(store, postgres_store, tmp_path):
    """A folder that was left over from elsewhere must not tell of strangers."""
    source = await store.source("chain:local", "chain", "local")
    await store.append(source, [arrival(1, "0xa", "0xb")], Progress(2, 1, 1))
    assert await (await held(store, tmp_path)).compact(least_rows=1)
    await postgres_store.pool.execute("TRUNCATE graph_transfers, graph_nodes")
    assert (await held(store, tmp_path)).number("0xa") is None
