"""Cuts the neighbourhood of an account out of the graph, of bounded size, the same every time.

At most ``fan_out[h]`` payments in and as many out are taken of each account at hop h: of a hub,
an even thinning over its history, so that the cost of a score is bounded and a flood of dust
cannot push older payments out of sight. Messages flow towards the account in the middle.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compliance_graph.graph import Floats, Ints, TransferGraph, Transfers
from compliance_graph.nodetable import NodeTable
from compliance_graph.sequences import log_seconds

FAN_OUT = (32, 3)
INCOMING, OUTGOING = 0, 1
EDGE_COLUMNS = (
    "gap",
    "since_first",
    "to_last",
    "peer_age",
    "peer_rest",
    "place",
    "count",
    "amount_from_median",
    "amount",
)
SECONDS_SCALE = 0.1

Floats32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Hop:
    """One step outwards; row i is one payment and, at its far end, one node of the next depth.

    ``peers`` (e,): the far nodes' numbers in the graph; ``near`` (e,): positions among the nodes
    one depth nearer; ``way`` (e,): INCOMING when far pays near; ``attributes``
    (e, len(EDGE_COLUMNS)). A node reached in two ways is two rows.
    """

    peers: Ints
    near: Ints
    way: Ints
    attributes: Floats32


@dataclass(frozen=True, slots=True)
class Ego:
    """The trees around one account or several; ``centres`` are their numbers in the graph."""

    centres: Ints
    hops: tuple[Hop, ...]

    @staticmethod
    def join(egos: Sequence["Ego"]) -> "Ego":
        """Side by side, for one pass of the network."""
        centres = np.concatenate([e.centres for e in egos])
        sizes = np.ones(len(egos), dtype=np.int64)
        hops = []
        for level in zip(*(e.hops for e in egos), strict=True):
            offsets = np.cumsum(sizes) - sizes
            hops.append(
                Hop(
                    np.concatenate([h.peers for h in level]),
                    np.concatenate([h.near + o for h, o in zip(level, offsets, strict=True)]),
                    np.concatenate([h.way for h in level]),
                    np.concatenate([h.attributes for h in level]),
                )
            )
            sizes = np.array([len(h.peers) for h in level], dtype=np.int64)
        return Ego(centres, tuple(hops))


def thinned(rows: Transfers, most: int) -> Transfers:
    """All rows, or ``most`` of them evenly spread, the first and the last included."""
    if len(rows) <= most:
        return rows
    return rows.take(np.linspace(0, len(rows) - 1, most).round().astype(np.int64))


def sample(
    pairs: TransferGraph, table: NodeTable, node: int, fan_out: Sequence[int] = FAN_OUT
) -> Ego:
    """The neighbourhood of one account."""
    hops, inner = [], [node]
    for most in fan_out:
        parts: list[tuple[Ints, Ints, Ints, Floats]] = []
        for at, number in enumerate(inner):
            for way, rows in ((INCOMING, pairs.received(number)), (OUTGOING, pairs.sent(number))):
                kept = thinned(rows, most)
                peers = kept.src if way == INCOMING else kept.dst
                if len(peers):
                    near = np.full(len(peers), at, dtype=np.int64)
                    ways = np.full(len(peers), way, dtype=np.int64)
                    parts.append((peers, near, ways, _attributes(table, number, peers, kept)))
        hops.append(_hop(parts))
        inner = hops[-1].peers.tolist()
    return Ego(np.array([node], dtype=np.int64), tuple(hops))


def _hop(parts: Sequence[tuple[Ints, Ints, Ints, Floats]]) -> Hop:
    if not parts:
        none = np.zeros(0, dtype=np.int64)
        return Hop(none, none, none, np.zeros((0, len(EDGE_COLUMNS)), dtype=np.float32))
    peers, near, way, attributes = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Hop(peers, near, way, attributes.astype(np.float32))


def _attributes(table: NodeTable, node: int, peers: Ints, rows: Transfers) -> Floats:
    times = rows.time_s
    logs = np.log(np.maximum(rows.amount, 1e-9))
    middle = np.sort(logs)[len(logs) // 2]
    gaps = np.diff(times, prepend=times[:1])
    return np.stack(
        (
            SECONDS_SCALE * log_seconds(gaps),
            SECONDS_SCALE * log_seconds(times - table.first_s[node]),
            SECONDS_SCALE * log_seconds(table.last_s[node] - times),
            SECONDS_SCALE * log_seconds(times - table.first_s[peers]),
            SECONDS_SCALE * log_seconds(table.last_s[peers] - times),
            (np.arange(len(times)) + 0.5) / len(times),
            np.log1p(rows.count.astype(np.float64)),
            np.clip(0.3 * (logs - middle), -3, 3),
            0.2 * logs,
        ),
        1,
    )
