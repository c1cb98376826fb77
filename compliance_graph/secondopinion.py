"""The graph network's opinion, told to the officer beside the score; it has no vote.

Within one source the network is as good as the trees; on one of two sources that it had not seen
it flagged several times as many honest accounts (see the model card). So it is asked when a case is
explained, not when an account is scored: what it makes of the neighbourhood, and which payments
weigh most with it (each one masked in turn, all in one pass).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from compliance_graph.features import SERVED_NAMES, describe, ranks_within
from compliance_graph.graph import Floats, TransferGraph, Transfers
from compliance_graph.nodetable import PLAIN_COLUMNS
from compliance_graph.pairs import PairIndex
from compliance_graph.sampler import FAN_OUT, INCOMING, PLAIN_EDGE_COLUMNS, Places, placed

INPUTS = ("x0", "x1", "x2", "edge_1", "edge_2", "taken_1", "taken_2", "own")
CLIP = 4.0

Single = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PaymentPart:
    """A first-hop payment of the sample, and what the network's log-odds would lose without it."""

    node: int
    direction: str
    log_odds: float


def parity_graph() -> TransferGraph:
    """Pairs of a made graph of sixty accounts, on which trained and served networks must agree."""
    rng = np.random.default_rng(7)
    rows = Transfers(
        rng.integers(60, size=900),
        rng.integers(60, size=900),
        np.round(rng.lognormal(0, 2, 900), 3),
        rng.integers(1, 4, size=900),
        1_500_000_000 + rng.integers(400 * 86_400, size=900),
    )
    return TransferGraph.build(rows, 61).pairs()


class Network:
    """``scales`` holds the nodes' middle and width and the grid of the own features."""

    def __init__(
        self, onnx: bytes, scales: Mapping[str, npt.NDArray[Any]], own: Sequence[str]
    ) -> None:
        self._middle, self._width = scales["net.middle"], scales["net.width"]
        self._grid = scales["net.grid"]
        at = {name: i for i, name in enumerate(SERVED_NAMES)}
        self._own = np.array([at[name] for name in own])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            onnx, options, providers=["CPUExecutionProvider"]
        )

    def log_odds(self, index: PairIndex, node: int) -> float:
        """As trained, not calibrated."""
        return float(self._run(self.inputs(index, placed(index, node)))[0])

    def parts(self, index: PairIndex, node: int, most: int) -> tuple[float, list[PaymentPart]]:
        """The log-odds, and the payments that move it most, the largest first."""
        places = placed(index, node)
        taken = np.flatnonzero(places.peers[0] >= 0)
        inputs = self.inputs(index, places)
        many = {name: np.repeat(value, len(taken) + 1, axis=0) for name, value in inputs.items()}
        many["taken_1"][np.arange(len(taken)) + 1, taken] = 0.0
        found = self._run(many)
        parts = [
            PaymentPart(
                int(places.peers[0][at]),
                "in" if at // FAN_OUT[0] == INCOMING else "out",
                float(found[0] - left),
            )
            for at, left in zip(taken.tolist(), found[1:].tolist(), strict=True)
        ]
        return float(found[0]), sorted(parts, key=lambda p: (-abs(p.log_odds), p.node))[:most]

    def inputs(self, index: PairIndex, places: Places) -> dict[str, Single]:
        """One account's tensors, by name."""
        own = describe(index, places.node, amounts=False)[self._own]
        ranks = np.nan_to_num(2.0 * ranks_within(own[None, :], self._grid) - 1.0)
        values = [
            self._nodes(index, np.array([places.node]))[0],
            *(self._nodes(index, peers) for peers in places.peers),
            *(a[:, :PLAIN_EDGE_COLUMNS] for a in places.attributes),
            *((peers >= 0) for peers in places.peers),
            ranks[0],
        ]
        return {n: v[None].astype(np.float32) for n, v in zip(INPUTS, values, strict=True)}

    def _nodes(self, index: PairIndex, numbers: npt.NDArray[np.int64]) -> Floats:
        values = index.values[numbers, :PLAIN_COLUMNS]
        known = np.isfinite(values)
        scaled = np.clip((values - self._middle) / self._width, -CLIP, CLIP)
        return np.hstack((np.where(known, scaled, 0.0), known))

    def _run(self, inputs: dict[str, Single]) -> Floats:
        out: Floats = self._session.run(["log_odds"], inputs)[0].astype(np.float64)
        return out
