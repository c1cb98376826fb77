r"""The graph network: direction-aware message passing with edge attributes, towards one account.

The neighbourhood is a tree of two hops (:mod:`compliance_graph.sampler`); layer 1 carries the
second hop to the first, layer 2 the first to the account in the middle:

    m_{u->v} = relu(W_d [h_u ; e_uv])                    d = in, out: own weights each
    h_v'     = h_v + W [h_v ; mean, max, sd of m over in ; mean, max, sd of m over out]

(message passing of Gilmer et al. 2017, arXiv:1704.01212; several aggregators as in Corso et al.
2020, arXiv:2004.05718; separate weights by direction as in Rossi et al. 2023, arXiv:2305.10498).
The readout also sees the account's own sequence features and the cross-fitted labels around it.

Shapes: ``x0`` (accounts, 2 * n_node), the columns of the node table and for each whether it is
known; ``x1`` and ``x2`` the same for each hop's far ends;
``near_k`` (e,) positions one depth nearer, ``outgoing_k`` (e,) 1.0 where near pays far,
``edge_k`` (e, n_edge); ``own`` (accounts, n_own). Out: logits (accounts,).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing
from torch_geometric.seed import seed_everything


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a network; stored beside its weights."""

    n_own: int
    n_node: int
    n_edge: int
    hidden: int = 32
    dropout: float = 0.3
    own_dropout: float = 0.5


class DirectedConv(MessagePassing):
    """Messages of one direction, gathered as mean, maximum and deviation: (n_near, 3 hidden)."""

    def __init__(self, hidden: int, n_edge: int) -> None:
        super().__init__(aggr=["mean", "max", "std"], flow="source_to_target")
        self.lift = nn.Linear(hidden + n_edge, hidden)

    def forward(self, far: Tensor, edge_attr: Tensor, near: Tensor, n_near: int) -> Tensor:
        edge_index = torch.stack((torch.arange(far.size(0), device=far.device), near))
        size = (far.size(0), n_near)
        out: Tensor = self.propagate(edge_index, h=(far, None), edge_attr=edge_attr, size=size)
        return out

    def message(self, h_j: Tensor, edge_attr: Tensor) -> Tensor:
        return torch.relu(self.lift(torch.cat((h_j, edge_attr), dim=-1)))


class Layer(nn.Module):
    """Both directions, joined with the nearer node's own state."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        hidden, dropout = shape.hidden, shape.dropout
        self.incoming = DirectedConv(hidden, shape.n_edge)
        self.outgoing = DirectedConv(hidden, shape.n_edge)
        self.join = nn.Sequential(
            nn.Linear(7 * hidden, hidden), nn.ReLU(), nn.Dropout(dropout), nn.LayerNorm(hidden)
        )

    def forward(self, h: Tensor, far: Tensor, hop: "HopTensors") -> Tensor:
        parts = [h]
        for conv, chosen in ((self.incoming, ~hop.outgoing), (self.outgoing, hop.outgoing)):
            at = torch.nonzero(chosen).squeeze(-1)
            parts.append(conv(far[at], hop.edge[at], hop.near[at], h.size(0)))
        joined: Tensor = self.join(torch.cat(parts, dim=-1))
        return h + joined


class HopTensors(NamedTuple):
    """One hop of an ego, as tensors."""

    near: Tensor
    outgoing: Tensor
    edge: Tensor


class EgoNet(nn.Module):
    """Logit of an account from its neighbourhood; see the module's text for the equations."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        hidden = shape.hidden
        self.shape = shape
        self.enter = nn.Sequential(nn.Linear(2 * shape.n_node, hidden), nn.ReLU())
        self.first = Layer(shape)
        self.second = Layer(shape)
        self.own = nn.Sequential(
            nn.Dropout(shape.own_dropout), nn.Linear(shape.n_own, 2 * hidden), nn.ReLU()
        )
        self.read = nn.Sequential(
            nn.Dropout(shape.dropout), nn.Linear(3 * hidden, hidden), nn.ReLU(),
            nn.Linear(hidden, 1),
        )  # fmt: skip

    def forward(
        self,
        x0: Tensor,
        x1: Tensor,
        x2: Tensor,
        first: HopTensors,
        second: HopTensors,
        own: Tensor,
    ) -> Tensor:
        h0, h1, h2 = (self.enter(x) for x in (x0, x1, x2))
        h1 = self.first(h1, h2, second)
        h0 = self.second(h0, h1, first)
        logits: Tensor = self.read(torch.cat((h0, self.own(own)), dim=-1))
        return logits.squeeze(-1)


def seeded(seed: int) -> None:
    """The one place where the randomness of a training is fixed."""
    torch.set_num_threads(1)
    seed_everything(seed)
