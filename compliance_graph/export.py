"""Writes a trained judge as files that serve without the libraries it was trained with.

Boosted forests become one ONNX graph of tree ensembles and, beside it, flat arrays with the covers
of all nodes, which is what explanations walk; both give the same margins.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from compliance_graph.boosting import Boosted
from compliance_graph.forest import Forest

OPSET = 17
ML_OPSET = 3
MISSING_GOES_LEFT = "default_left"

Tree = list[dict[str, Any]]


def trees_of(model: Boosted) -> list[list[Tree]]:
    """Each forest's trees as flat lists of nodes.

    An inner node is ``{"feature", "threshold", "left", "right", "default_left", "cover"}``, going
    left when the feature is at most the threshold, or unknown and ``default_left``; a leaf has
    ``value`` and ``cover``, which counts the training accounts that came by.
    """
    forests = []
    for forest in model.forests:
        dump = forest.dump_model()
        forests.append([_flat(tree["tree_structure"]) for tree in dump["tree_info"]])
    return forests


def _flat(root: Mapping[str, Any]) -> Tree:
    nodes: Tree = []

    def visit(node: Mapping[str, Any]) -> int:
        at = len(nodes)
        if "leaf_value" in node:
            nodes.append({"value": node["leaf_value"], "cover": node["leaf_count"]})
            return at
        if node["decision_type"] != "<=" or node["missing_type"] not in ("NaN", "None"):
            raise ValueError(f"no such split is known here: {node['decision_type']}")
        nodes.append({})
        left, right = visit(node["left_child"]), visit(node["right_child"])
        nodes[at] = {
            "feature": node["split_feature"],
            "threshold": node["threshold"],
            "left": left,
            "right": right,
            MISSING_GOES_LEFT: _missing_goes_left(node),
            "cover": node["internal_count"],
        }
        return at

    visit(root)
    return nodes


def _missing_goes_left(node: Mapping[str, Any]) -> bool:
    """A split that knew no gaps in training takes an unknown value for zero."""
    if node["missing_type"] == "None":
        return bool(node["threshold"] >= 0.0)
    return bool(node["default_left"])


def below(threshold: float) -> float:
    """The greatest single-precision number not above the threshold: features arrive as singles."""
    largest = float(np.finfo(np.float32).max)
    single = np.float32(min(max(threshold, -largest), largest))
    if float(single) > threshold:
        single = np.nextafter(single, np.float32(-np.inf))
    return float(single)


def onnx_forests(models: Mapping[str, tuple[Boosted, int]]) -> onnx.ModelProto:
    """For each name an input (n, n_features) and an output ``<name>_margin`` (n, 1), singles."""
    nodes, inputs, outputs = [], [], []
    for name, (model, n_features) in models.items():
        nodes.append(_ensemble(model, name))
        inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, n_features]))
        margin = f"{name}_margin"
        outputs.append(helper.make_tensor_value_info(margin, TensorProto.FLOAT, [None, 1]))
    graph = helper.make_graph(nodes, "screening", inputs, outputs)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    built = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(built)
    return built


def _ensemble(model: Boosted, name: str) -> onnx.NodeProto:
    kept: dict[str, Any] = {}
    forests = trees_of(model)
    share = 1.0 / len(forests)
    for number, tree in enumerate(tree for forest in forests for tree in forest):
        for at, node in enumerate(tree):
            inner = "feature" in node
            for key, value in (
                ("nodes_treeids", number),
                ("nodes_nodeids", at),
                ("nodes_featureids", node.get("feature", 0)),
                ("nodes_values", below(node["threshold"]) if inner else 0.0),
                ("nodes_modes", "BRANCH_LEQ" if inner else "LEAF"),
                ("nodes_truenodeids", node.get("left", 0)),
                ("nodes_falsenodeids", node.get("right", 0)),
                ("nodes_missing_value_tracks_true", int(node.get(MISSING_GOES_LEFT, False))),
            ):
                kept.setdefault(key, []).append(value)
            if not inner:
                for key, value in (
                    ("target_treeids", number),
                    ("target_nodeids", at),
                    ("target_ids", 0),
                    ("target_weights", node["value"] * share),
                ):
                    kept.setdefault(key, []).append(value)
    return helper.make_node(
        "TreeEnsembleRegressor", [name], [f"{name}_margin"], domain="ai.onnx.ml",
        n_targets=1, aggregate_function="SUM", post_transform="NONE", **kept,
    )  # fmt: skip


def forest_of(model: Boosted) -> Forest:
    """The same trees as flat arrays, with the covers that explanations need."""
    forests = trees_of(model)
    share = 1.0 / len(forests)
    rows: list[tuple[Any, ...]] = []
    for tree in (tree for forest in forests for tree in forest):
        base, parents = len(rows), dict.fromkeys(range(len(tree)), -1)
        for at, node in enumerate(tree):
            inner = "feature" in node
            if inner:
                parents[node["left"]] = parents[node["right"]] = base + at
            rows.append((
                node.get("feature", -1),
                below(node["threshold"]) if inner else 0.0,
                base + node["left"] if inner else -1,
                parents[at],
                node.get(MISSING_GOES_LEFT, False),
                node.get("value", 0.0) * share,
                node["cover"],
            ))  # fmt: skip
    kinds = (np.int16, np.float32, np.int32, np.int32, np.bool_, np.float64, np.int32)
    columns = zip(*rows, strict=True)
    return Forest(*(np.array(c, dtype=k) for c, k in zip(columns, kinds, strict=True)))
