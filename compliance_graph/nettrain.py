"""Trains the graph network on neighbourhoods, with what it needs to see the world as in training.

:class:`View` holds the scales (means and deviations of node columns, reference ranks of the own
features) that belong to a trained network; they are taken from the training accounts alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from compliance_graph.features import grid_of, ranks_within, selected
from compliance_graph.graph import Floats, Ints
from compliance_graph.model import EgoNet, HopTensors, Shape, seeded
from compliance_graph.nodetable import COLUMNS, PLAIN_COLUMNS
from compliance_graph.problem import Task, finite
from compliance_graph.sampler import EDGE_COLUMNS, OUTGOING, PLAIN_EDGE_COLUMNS, Ego, Hop

EPOCHS = 12
BATCH = 32
RATE = 4e-3
DECAY = 1e-3


class NodeValues(Protocol):
    """The node table: an index of pairs, or several of them joined."""

    @property
    def values(self) -> npt.NDArray[np.float32]: ...


@dataclass(frozen=True, slots=True)
class View:
    """``middle``, ``width`` (columns of the node table); ``grid`` (GRID, n_own) quantiles.

    Without ``amounts`` the columns that need them are left out, of nodes and payments.
    """

    middle: Floats
    width: Floats
    grid: Floats
    amounts: bool

    @staticmethod
    def of(table: NodeValues, egos: Sequence[Ego], own: Floats, amounts: bool = True) -> "View":
        near = np.concatenate([e.centres for e in egos] + [e.hops[0].peers for e in egos])
        values = table.values[near, : len(COLUMNS) if amounts else PLAIN_COLUMNS]
        known = np.isfinite(values)
        count = np.maximum(known.sum(axis=0), 1)
        middle = np.where(known, values, 0.0).sum(axis=0) / count
        spread = (np.where(known, values - middle, 0.0) ** 2).sum(axis=0) / count
        return View(middle, np.sqrt(spread) + 1e-3, grid_of(own), amounts)

    @property
    def n_edge(self) -> int:
        return len(EDGE_COLUMNS) if self.amounts else PLAIN_EDGE_COLUMNS

    def nodes(self, table: NodeValues, numbers: Ints) -> Tensor:
        """Scaled columns and whether each is known: (n, 2 * columns)."""
        values = table.values[numbers, : len(self.middle)]
        known = np.isfinite(values)
        scaled = np.where(known, np.clip((values - self.middle) / self.width, -4, 4), 0.0)
        return torch.from_numpy(np.hstack((scaled, known)).astype(np.float32))

    def own(self, values: Floats) -> Tensor:
        """Ranks among the training accounts, spread to -1 … 1; unknown is 0."""
        ranks = finite(2.0 * ranks_within(values, self.grid) - 1.0)
        return torch.from_numpy(ranks.astype(np.float32))


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything the network asks for, for some accounts."""

    x0: Tensor
    x1: Tensor
    x2: Tensor
    first: HopTensors
    second: HopTensors

    @staticmethod
    def of(view: View, table: NodeValues, egos: Sequence[Ego]) -> "Batch":
        ego = Ego.join(egos)
        near, far = ego.hops
        x0, x1, x2 = (view.nodes(table, n) for n in (ego.centres, near.peers, far.peers))
        return Batch(x0, x1, x2, _tensors(near, view.n_edge), _tensors(far, view.n_edge))


def _tensors(hop: Hop, n_edge: int) -> HopTensors:
    outgoing = torch.from_numpy(hop.way == OUTGOING)
    return HopTensors(
        torch.from_numpy(hop.near), outgoing, torch.from_numpy(hop.attributes[:, :n_edge])
    )


@dataclass(frozen=True, slots=True)
class TrainedNet:
    view: View
    net: EgoNet

    def logits(self, table: NodeValues, egos: Sequence[Ego], own: Floats) -> Floats:
        found = []
        with torch.no_grad():
            self.net.eval()
            for start in range(0, len(egos), 128):
                part = Batch.of(self.view, table, egos[start : start + 128])
                sight = self.view.own(own[start : start + 128])
                found.append(self.net(part.x0, part.x1, part.x2, part.first, part.second, sight))
        out: Floats = torch.cat(found).numpy().astype(np.float64)
        return out


def fit_net(
    table: NodeValues,
    egos: Sequence[Ego],
    own: Floats,
    labels: Ints,
    seed: int,
    amounts: bool = True,
) -> TrainedNet:
    """Adam with a one-cycle rate for a fixed number of epochs: nothing is tuned on held rows."""
    seeded(seed)
    view = View.of(table, egos, own, amounts)
    sight, wanted = view.own(own), torch.from_numpy(labels.astype(np.float32))
    net = EgoNet(Shape(own.shape[1], len(view.middle), view.n_edge))
    steps = EPOCHS * ((len(egos) + BATCH - 1) // BATCH)
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    pace = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    loss_of = nn.BCEWithLogitsLoss()
    rng = np.random.default_rng(seed)
    net.train()
    for _ in range(EPOCHS):
        order = rng.permutation(len(egos))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            part = Batch.of(view, table, [egos[i] for i in rows])
            at = torch.from_numpy(rows)
            logits = net(part.x0, part.x1, part.x2, part.first, part.second, sight[at])
            smooth = 0.05 + 0.9 * wanted[at]
            optimiser.zero_grad()
            loss_of(logits, smooth).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            pace.step()
    return TrainedNet(view, net)


def graph_net(task: Task) -> list[Floats]:
    """The judge called ``net``: the neighbourhood, own features and cross-fitted labels."""
    source = task.source
    features = source.features.only(selected(source.features.names, own_only=True)).values
    table, egos = source.graph.index, source.egos
    own = np.hstack((features[task.fit], task.known))
    trained = fit_net(table, [egos[i] for i in task.fit], own, task.labels, task.seed)
    return [
        trained.logits(table, [egos[i] for i in rows], np.hstack((features[rows], extra)))
        for rows, extra in zip(task.others, task.spread, strict=True)
    ]
