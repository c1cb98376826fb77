"""Small made graphs: honest shops, swindlers, and the shapes with which a graph can be attacked."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from compliance_graph.graph import TransferGraph, Transfers
from compliance_graph.sources import Arrival, transfer_key
from compliance_graph.store import GraphStore, Progress

START_S = 1_500_000_000
DAY_S = 86_400

NASTY = [
    (0, 0, 3.0, 1, START_S),  # to itself
    (0, 1, 1.0, 1, START_S + 10),
    (0, 1, 1.0, 1, START_S + 10),  # the same again, in the same second
    (1, 2, 0.0, 1, START_S + 20),  # worth nothing
    (2, 0, 2.5, 1, START_S + 30),  # closes a cycle of three
    (1, 0, 0.5, 3, START_S + 40),
]
"""A self-loop, a duplicate, a zero and a cycle; node 3 of a graph of four has no transfer."""


def nasty_graph() -> TransferGraph:
    return TransferGraph.build(Transfers.of(NASTY), 4)


def hub_graph(leaves: int) -> TransferGraph:
    """Node 0 pays every other node once, an hour apart; node 1 pays it back."""
    rows = [(0, i, 1.0 + i, 1, START_S + 3600 * i) for i in range(1, leaves + 1)]
    return TransferGraph.build(Transfers.of([*rows, (1, 0, 0.5, 1, START_S + 3600 * leaves * 2)]))


def random_graph(nodes: int, rows: int, seed: int = 0) -> TransferGraph:
    rng = np.random.default_rng(seed)
    return TransferGraph.build(
        Transfers(
            rng.integers(nodes, size=rows),
            rng.integers(nodes, size=rows),
            np.round(rng.lognormal(0, 2, rows), 3),
            rng.integers(1, 4, size=rows),
            START_S + rng.integers(400 * DAY_S, size=rows),
        ),
        nodes,
    )


def thief_graph() -> TransferGraph:
    """Twelve customers of one exchange, who pay many others, too, pay node 0 some hours apart; days
    later most of it leaves in one sum, and is passed on a day after."""
    rng, rows, begin = np.random.default_rng(0), [], START_S + 400 * DAY_S
    for i in range(12):
        at, customer = begin + i * 20_000, 100 + i
        rows.append((customer, 0, 0.5, 1, at))
        rows.append((300, customer, 0.6, 1, at - int(rng.integers(3600, 90 * DAY_S))))
        for shop in rng.integers(340, 400, size=20).tolist():
            rows.append((customer, shop, 0.1, 1, at - int(rng.integers(60 * DAY_S))))
    rows.append((0, 1, 4.0, 1, at + 400_000))
    rows.append((1, 50, 4.0, 1, at + 490_000))
    others = random_graph(40, 300).rows
    times = others.amount, others.count, others.time_s
    moved = Transfers(others.src + 400, others.dst + 400, *times)
    return TransferGraph.build(Transfers.join([Transfers.of(rows), moved]), 450)


async def read_in(
    store: GraphStore, graph: TransferGraph, known: Mapping[int, str] | None = None
) -> None:
    """Bring a graph into the store, as if a file had told it in ether: node n as ``0x…n``, or as
    the address that it is known by."""
    names = {node: f"0x{node:040x}" for node in range(graph.n_nodes)} | dict(known or {})
    rows = [getattr(graph.rows, name).tolist() for name in ("src", "dst", "amount", "time_s")]
    found = []
    for at, (src, dst, amount, time_s) in enumerate(zip(*rows, strict=True)):
        ends, tx = (names[src], names[dst]), f"0x{at:064x}"
        key = transfer_key("local", tx, "ETH", *ends, amount, 0)
        found.append(Arrival(key, at, tx, "ETH", *ends, amount, 1, time_s))
    source = await store.source("file:made", "file", "local")
    await store.append(source, found, Progress(len(found), len(found) - 1, -1, complete=True))


def shifted(graph: TransferGraph, seconds: int) -> TransferGraph:
    """The same life, lived at another time."""
    rows = graph.rows
    moved = Transfers(rows.src, rows.dst, rows.amount, rows.count, rows.time_s + seconds)
    return TransferGraph.build(moved, graph.n_nodes)


def scaled(graph: TransferGraph, factor: float) -> TransferGraph:
    """The same life with another currency."""
    rows = graph.rows
    moved = Transfers(rows.src, rows.dst, rows.amount * factor, rows.count, rows.time_s)
    return TransferGraph.build(moved, graph.n_nodes)


def write_market(folder: Path, accounts: int = 80, seed: int = 0, shift_s: int = 0) -> None:
    """A market as files: shops with weekly trade, swindlers who take in a burst and cash out.

    ``edges.csv`` and ``labels.csv``; the last quarter of the accounts is ``test``, its labels
    kept back in ``answers.csv``.
    """
    rng = np.random.default_rng(seed)
    rows, labels = [], []
    fresh = accounts
    for account in range(accounts):
        swindler = account % 2 == 1
        begin = START_S + shift_s + int(rng.integers(300 * DAY_S))
        n = int(rng.integers(6, 14))
        step = 600 if swindler else 7 * DAY_S
        times = begin + np.cumsum(rng.integers(step // 2, step * 2, size=n))
        for t in times.tolist():
            rows.append((fresh, account, round(float(rng.lognormal(0, 1)), 3), t))
            fresh += 1
            if not swindler:
                rows.append((account, fresh, round(float(rng.lognormal(0, 1)), 3), t + DAY_S))
                fresh += 1
        if swindler:
            rows.append((account, fresh, round(float(rng.lognormal(1, 1)), 3), int(times[-1]) + 60))
            fresh += 1
        labels.append("illicit" if swindler else "licit")
    edges = "".join(f"{s},{d},{a},{t}\n" for s, d, a, t in rows)
    (folder / "edges.csv").write_text("src,dst,value_eth,timestamp\n" + edges)
    first_test = accounts * 3 // 4
    splits = ["train" if i < first_test else "test" for i in range(accounts)]
    for name, shows in (("labels.csv", False), ("answers.csv", True)):
        lines = [
            f"{i},{label if shows or split == 'train' else ''},{split}\n"
            for i, (label, split) in enumerate(zip(labels, splits, strict=True))
        ]
        (folder / name).write_text("node,label,split\n" + "".join(lines))
