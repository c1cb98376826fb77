"""Writes the graph network as ONNX over fixed places, so that serving neither packs nor scatters.

The trained weights are the same; mean, maximum and deviation of the messages are taken over a row
of places with a mask instead of over a list of edges (parity is tested). An empty side is then
zeros, as in training, and needs no edge of its own.
"""

import io
import math
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from compliance_graph.model import DirectedConv, EgoNet, Layer
from compliance_graph.nettrain import TrainedNet
from compliance_graph.sampler import FAN_OUT, PLACES
from compliance_graph.secondopinion import INPUTS

OPSET = 17
DEVIATION_MIN = 1e-5
"""Below this variance the training's aggregation calls the deviation zero."""


class PlacedNet(nn.Module):
    """:class:`EgoNet` on fixed places.

    Shapes: ``x0`` (n, nodes), ``x1`` (n, places 1, nodes), ``x2`` (n, places 2, nodes);
    ``edge_k`` (n, places k, edges); ``taken_k`` (n, places k) 1.0 where a payment is; ``own``
    (n, own). Out: log-odds (n,).
    """

    def __init__(self, net: EgoNet) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, x0: Tensor, x1: Tensor, x2: Tensor,
        edge_1: Tensor, edge_2: Tensor, taken_1: Tensor, taken_2: Tensor, own: Tensor,
    ) -> Tensor:  # fmt: skip
        h0, h1, h2 = (self.net.enter(x) for x in (x0, x1, x2))
        h1 = self._layer(self.net.first, h1, h2, edge_2, taken_2, FAN_OUT[1])
        h0 = self._layer(self.net.second, h0[:, None], h1, edge_1, taken_1, FAN_OUT[0])[:, 0]
        logits: Tensor = self.net.read(torch.cat((h0, self.net.own(own)), dim=-1))
        return logits.squeeze(-1)

    def _layer(
        self, layer: Layer, near: Tensor, far: Tensor, edge: Tensor, taken: Tensor, fan_out: int
    ) -> Tensor:
        shape = (-1, near.size(1), 2, fan_out)
        far = far.reshape(*shape, far.size(-1))
        edge, taken = edge.reshape(*shape, edge.size(-1)), taken.reshape(*shape, 1)
        parts = [near]
        for way, conv in enumerate((layer.incoming, layer.outgoing)):
            parts.append(_gathered(conv, far[:, :, way], edge[:, :, way], taken[:, :, way]))
        joined: Tensor = layer.join(torch.cat(parts, dim=-1))
        return near + joined


def _gathered(conv: DirectedConv, far: Tensor, edge: Tensor, taken: Tensor) -> Tensor:
    messages = torch.relu(conv.lift(torch.cat((far, edge), dim=-1))) * taken
    count = taken.sum(dim=2).clamp(min=1.0)
    mean = messages.sum(dim=2) / count
    variance = (messages * messages).sum(dim=2) / count - mean * mean
    deviation = variance.clamp(min=DEVIATION_MIN).sqrt()
    deviation = torch.where(
        deviation <= math.sqrt(DEVIATION_MIN), torch.zeros_like(deviation), deviation
    )
    return torch.cat((mean, messages.amax(dim=2), deviation), dim=-1)


def onnx_net(trained: TrainedNet) -> bytes:
    """One file, its weights inside; inputs as :data:`INPUTS` lists them."""
    shape = trained.net.shape
    nodes = 2 * shape.n_node
    sizes = (
        (nodes,), (PLACES[0], nodes), (PLACES[1], nodes),
        (PLACES[0], shape.n_edge), (PLACES[1], shape.n_edge),
        (PLACES[0],), (PLACES[1],), (shape.n_own,),
    )  # fmt: skip
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            PlacedNet(trained.net).eval(),
            tuple(torch.zeros((2, *size)) for size in sizes),
            buffer,
            input_names=list(INPUTS),
            output_names=["log_odds"],
            dynamic_axes={name: {0: "n"} for name in (*INPUTS, "log_odds")},
            opset_version=OPSET,
            dynamo=False,
        )
    return buffer.getvalue()


def scales_of(trained: TrainedNet) -> dict[str, Any]:
    """What the network needs to see the world as in training."""
    view = trained.view
    return {
        "net.middle": view.middle.astype(np.float64),
        "net.width": view.width.astype(np.float64),
        "net.grid": view.grid.astype(np.float64),
    }
