r"""Boosted trees as flat arrays, and who moved their margin: exact Shapley values.

A tree's expectation with only the features of a set S known follows both branches elsewhere, in
proportion to the training accounts that went there (path-dependent TreeSHAP, Lundberg et al. 2020,
arXiv:1905.04610). A leaf with value v whose path asks the features 1 … m contributes

    v * prod_{i in S} o_i * prod_{i not in S} z_i

with o_i in {0, 1} (does the account's value lead here?) and z_i the share of accounts that do; the
Shapley value of feature j is v (o_j - z_j) sum_k k! (m-1-k)! / m! e_k, where e_k is the coefficient
of t^k in prod_{i != j} (z_i + o_i t). Paths are short, so the polynomial is simply multiplied out.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from compliance_graph.graph import Floats
from compliance_graph.kernels import compiled, inner

DEPTH_MAX = 32


@dataclass(frozen=True, slots=True)
class Forest:
    """All trees' nodes in one row; ``feature`` is -1 for a leaf, ``parent`` -1 for a root.

    A value goes left when it is at most ``low``, or unknown and ``missing_left``. The margin is
    the sum of the leaves' ``value``; ``cover`` counts the training accounts at each node.
    """

    feature: npt.NDArray[np.int16]
    low: npt.NDArray[np.float32]
    left: npt.NDArray[np.int32]
    parent: npt.NDArray[np.int32]
    missing_left: npt.NDArray[np.bool_]
    value: Floats
    cover: npt.NDArray[np.int32]

    def contributions(self, row: npt.NDArray[np.float32]) -> tuple[Floats, float]:
        """For each feature its part of the margin (log-odds), and the margin of nobody.

        Both together add up to the margin.
        """
        out = np.zeros(len(row))
        base = shapley_into(
            row, self.feature, self.low, self.left, self.parent, self.missing_left,
            self.value, self.cover, out,
        )  # fmt: skip
        return out, float(base)


@compiled
def shapley_into(
    row: Any, feature: Any, low: Any, left: Any, parent: Any, missing_left: Any,
    value: Any, cover: Any, out: Any,
) -> float:  # fmt: skip
    """From every leaf up to its root, gathering what the path asks of each feature."""
    names = np.zeros(DEPTH_MAX, np.int64)
    leads, shares = np.zeros(DEPTH_MAX), np.zeros(DEPTH_MAX)
    base = 0.0
    for leaf in range(len(feature)):
        if feature[leaf] >= 0:
            continue
        size, node = 0, leaf
        while parent[node] >= 0:
            above = parent[node]
            asked, x = feature[above], row[feature[above]]
            goes_left = missing_left[above] if x != x else x <= low[above]
            at = 0
            while at < size and names[at] != asked:
                at += 1
            if at == size:
                names[at], leads[at], shares[at] = asked, 1.0, 1.0
                size += 1
            if goes_left != (left[above] == node):
                leads[at] = 0.0
            shares[at] *= cover[node] / cover[above]
            node = above
        base += leaf_into(value[leaf], names, leads, shares, size, out)
    return base


@inner
def leaf_into(value: float, names: Any, leads: Any, shares: Any, size: int, out: Any) -> float:
    """One leaf's share in every feature of its path; returns its share in nobody's margin."""
    nobody = value
    for i in range(size):
        nobody *= shares[i]
    powers = np.zeros(DEPTH_MAX)
    for j in range(size):
        powers[:] = 0.0
        powers[0], degree = 1.0, 0
        for i in range(size):
            if i != j:
                degree += 1
                for k in range(degree, 0, -1):
                    powers[k] = powers[k] * shares[i] + powers[k - 1] * leads[i]
                powers[0] *= shares[i]
        weight, total = 1.0 / size, 0.0
        for k in range(size):
            total += weight * powers[k]
            weight *= (k + 1) / max(1, size - 1 - k)
        out[names[j]] += value * (leads[j] - shares[j]) * total
    return nobody
