"""Cuts the neighbourhood of an account out of the graph, of bounded size, the same every time.

At most ``FAN_OUT[h]`` payments in and as many out are taken of each account at hop h: of a hub,
an even thinning over its history, so that the cost of a score is bounded and a flood of dust
cannot push older payments out of sight. Messages flow towards the account in the middle.

A row has a fixed place: hop 1 holds ``2 * FAN_OUT[0]`` rows, incoming first, and row i of hop 1
owns the rows ``i * 2 * FAN_OUT[1]`` and following of hop 2. Training packs the rows that are
taken; the served network takes the places as they are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from compliance_graph.graph import Bools, Ints
from compliance_graph.kernels import compiled, inner, log_second, thinned
from compliance_graph.pairs import PairIndex

FAN_OUT = (32, 3)
PLACES = (2 * FAN_OUT[0], 2 * FAN_OUT[0] * 2 * FAN_OUT[1])
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
PLAIN_EDGE_COLUMNS = 7
"""The first so many columns need no amounts."""
SECONDS_SCALE = 0.1
WIDTH = len(EDGE_COLUMNS)

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


@dataclass(frozen=True, slots=True)
class Places:
    """A neighbourhood in its fixed places, for each hop: the far node or -1, and attributes."""

    node: int
    peers: tuple[Ints, Ints]
    attributes: tuple[Floats32, Floats32]

    def packed(self) -> Ego:
        """Only the rows that are taken."""
        kept = [peers >= 0 for peers in self.peers]
        near = _renumbered(kept[0])
        first = np.flatnonzero(kept[0])
        second = np.flatnonzero(kept[1])
        per_near = 2 * FAN_OUT[1]
        hops = (
            _hop(self.peers[0], self.attributes[0], first, first * 0, first // FAN_OUT[0]),
            _hop(
                self.peers[1], self.attributes[1], second,
                near[second // per_near], second % per_near // FAN_OUT[1],
            ),
        )  # fmt: skip
        return Ego(np.array([self.node], dtype=np.int64), hops)


def placed(index: PairIndex, node: int) -> Places:
    """The neighbourhood of one account in its fixed places."""
    peers = (np.full(PLACES[0], -1), np.full(PLACES[1], -1))
    attributes = tuple(np.zeros((n, WIDTH), dtype=np.float32) for n in PLACES)
    places_into(node, *index.arrays, *peers, *attributes)
    return Places(node, peers, (attributes[0], attributes[1]))


def sample(index: PairIndex, node: int) -> Ego:
    """The neighbourhood of one account, packed."""
    return placed(index, node).packed()


def _renumbered(kept: Bools) -> Ints:
    out: Ints = np.cumsum(kept) - 1
    return out


def _hop(peers: Ints, attributes: Floats32, rows: Ints, near: Ints, way: Ints) -> Hop:
    return Hop(peers[rows], near, way, attributes[rows])


@compiled
def places_into(
    node: int,
    in_start: Any, in_size: Any, in_peer: Any, in_count: Any, in_amount: Any, in_time: Any,
    out_start: Any, out_size: Any, out_peer: Any, out_count: Any, out_amount: Any, out_time: Any,
    _values: Any, first_s: Any, last_s: Any,
    peers_1: Any, peers_2: Any, attributes_1: Any, attributes_2: Any,
) -> None:  # fmt: skip
    """Both hops around the node; arrays as of an index of pairs."""
    for way in range(2):
        at = way * FAN_OUT[0]
        start = in_start[node] if way == INCOMING else out_start[node]
        size = in_size[node] if way == INCOMING else out_size[node]
        side_into(
            node, start, size, FAN_OUT[0],
            in_peer if way == INCOMING else out_peer, in_count if way == INCOMING else out_count,
            in_amount if way == INCOMING else out_amount, in_time if way == INCOMING else out_time,
            first_s, last_s, peers_1, attributes_1, at,
        )  # fmt: skip
    for i in range(len(peers_1)):
        far = peers_1[i]
        if far < 0:
            continue
        for way in range(2):
            at = (2 * i + way) * FAN_OUT[1]
            start = in_start[far] if way == INCOMING else out_start[far]
            size = in_size[far] if way == INCOMING else out_size[far]
            side_into(
                far, start, size, FAN_OUT[1],
                in_peer if way == INCOMING else out_peer,
                in_count if way == INCOMING else out_count,
                in_amount if way == INCOMING else out_amount,
                in_time if way == INCOMING else out_time,
                first_s, last_s, peers_2, attributes_2, at,
            )  # fmt: skip


@inner
def side_into(
    node: int, start: int, size: int, most: int,
    peer: Any, count: Any, amount: Any, time: Any, first_s: Any, last_s: Any,
    peers: Any, attributes: Any, at: int,
) -> None:  # fmt: skip
    """One side of one node, thinned; gaps and places refer to the thinned rows."""
    kept = thinned(size, most)
    n = len(kept)
    logs = np.empty(n)
    for k in range(n):
        logs[k] = math.log(max(amount[start + kept[k]], 1e-9))
    middle = np.sort(logs)[n // 2] if n else 0.0
    before = time[start] if n else 0
    for k in range(n):
        row = start + kept[k]
        far, now, to = peer[row], time[row], attributes[at + k]
        peers[at + k] = far
        to[0] = SECONDS_SCALE * log_second(now - before)
        to[1] = SECONDS_SCALE * log_second(now - first_s[node])
        to[2] = SECONDS_SCALE * log_second(last_s[node] - now)
        to[3] = SECONDS_SCALE * log_second(now - first_s[far])
        to[4] = SECONDS_SCALE * log_second(last_s[far] - now)
        to[5] = (k + 0.5) / n
        to[6] = math.log1p(count[row])
        to[7] = min(max(0.3 * (logs[k] - middle), -3.0), 3.0)
        to[8] = 0.2 * logs[k]
        before = now
