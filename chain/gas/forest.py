"""Boosted trees walked in numpy, so that serving needs no library that trained them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chain.gas.features import Array

_CHUNK = 256


class Forest:
    """Several regression models over one row of features: ``predict`` gives one column each.

    All trees lie in flat arrays and are walked together, one level at a time; a leaf points at
    itself. A split sends ``value <= threshold`` left, as LightGBM does.
    """

    def __init__(self, models: Sequence[Sequence[Mapping[str, Any]]]) -> None:
        feature: list[int] = []
        threshold: list[float] = []
        left: list[int] = []
        right: list[int] = []
        value: list[float] = []
        roots: list[int] = []
        owner: list[int] = []
        self.depth = 0
        for model, trees in enumerate(models):
            for tree in trees:
                base, splits = len(feature), len(tree["feature"])
                roots.append(base)
                owner.append(model)
                children = [*tree["left"], *tree["right"]]
                if any(not -len(tree["value"]) <= child < splits for child in children):
                    raise ValueError("a tree points outside of itself")
                for at in range(splits):
                    feature.append(tree["feature"][at])
                    threshold.append(tree["threshold"][at])
                    left.append(_child(base, splits, tree["left"][at]))
                    right.append(_child(base, splits, tree["right"][at]))
                    value.append(0.0)
                for leaf in tree["value"]:
                    left.append(len(feature))
                    right.append(len(feature))
                    feature.append(0)
                    threshold.append(0.0)
                    value.append(leaf)
                self.depth = max(self.depth, _depth(tree))
        self.models = len(models)
        self.feature = np.array(feature, np.int32)
        self.threshold = np.array(threshold, np.float64)
        self.children = np.array([right, left], np.int32)
        self.value = np.array(value, np.float64)
        self.roots = np.array(roots, np.int32)
        self.owner: NDArray[np.float64] = np.zeros((len(roots), self.models))
        self.owner[np.arange(len(roots)), owner] = 1.0

    def predict(self, rows: Array) -> Array:
        """Shape ``(rows, features)`` to shape ``(rows, models)``."""
        parts = [self._walk(rows[at : at + _CHUNK]) for at in range(0, len(rows), _CHUNK)]
        return np.concatenate(parts) if parts else np.empty((0, self.models))

    def _walk(self, rows: Array) -> Array:
        line = np.arange(len(rows))[:, None]
        node = np.broadcast_to(self.roots, (len(rows), len(self.roots)))
        for _ in range(self.depth):
            goes_left = rows[line, self.feature[node]] <= self.threshold[node]
            node = self.children[goes_left.astype(np.int8), node]
        outcome: Array = self.value[node] @ self.owner
        return outcome


def _child(base: int, splits: int, child: int) -> int:
    """LightGBM writes a leaf as ``~leaf``, which is negative."""
    return base + child if child >= 0 else base + splits + ~child


def _depth(tree: Mapping[str, Any]) -> int:
    if not tree["feature"]:
        return 0
    deepest, queue = 0, [(0, 1)]
    while queue:
        node, depth = queue.pop()
        deepest = max(deepest, depth)
        if depth > len(tree["feature"]):
            raise ValueError("a tree has a loop")
        for child in (tree["left"][node], tree["right"][node]):
            if child >= 0:
                queue.append((child, depth + 1))
    return deepest


def from_lightgbm(dump: str) -> list[dict[str, Any]]:
    """The trees of ``Booster.model_to_string()``; shrinkage is in the leaf values already."""
    trees: list[dict[str, Any]] = []
    for block in dump.split("\nTree=")[1:]:
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        single = fields["num_leaves"] == "1"
        trees.append(
            {
                "feature": [] if single else [int(x) for x in fields["split_feature"].split()],
                "threshold": []
                if single
                else [float(f"{float(x):.6g}") for x in fields["threshold"].split()],
                "left": [] if single else [int(x) for x in fields["left_child"].split()],
                "right": [] if single else [int(x) for x in fields["right_child"].split()],
                "value": [float(f"{float(x):.5g}") for x in fields["leaf_value"].split()],
            }
        )
    return trees
