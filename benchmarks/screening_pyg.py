"""The plain way to score with a graph network, as in the guide of PyTorch Geometric."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch_geometric.nn import SAGEConv
from torch_geometric.utils import k_hop_subgraph

from compliance_graph.graph import TransferGraph

WIDTH = 32


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = SAGEConv(16, WIDTH), SAGEConv(WIDTH, 1)

    def forward(self, x: Any, edges: Any) -> Any:
        return self.second(torch.relu(self.first(x, edges)), edges)


def plain_seconds(graph: TransferGraph, nodes: Sequence[int]) -> Any:
    """Seconds of each: two hops cut out, features gathered, one forward pass."""
    torch.set_num_threads(1)
    edges = torch.from_numpy(np.stack((graph.rows.src, graph.rows.dst)))
    x = torch.zeros((graph.n_nodes, 16))
    net = Plain().eval()
    seconds = np.zeros(len(nodes))
    with torch.no_grad():
        for i, node in enumerate([nodes[0], *nodes]):
            start = time.perf_counter()
            around, local, at, _ = k_hop_subgraph(
                node, 2, edges, relabel_nodes=True, num_nodes=graph.n_nodes
            )
            net(x[around], local)[at]
            seconds[i - 1] = time.perf_counter() - start
    return seconds
