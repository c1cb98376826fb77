"""Writes a trained judge as files that serve without the libraries it was trained with.

Boosted forests become one ONNX tree ensemble and, beside it, plain JSON: the JSON is what
explanations walk and what a reader can check by hand; both give the same margins. The graph
network becomes ONNX with its weights inside the file. Every file is named in a manifest with its
hash, so that a verdict can name the exact model that gave it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from compliance_graph.boosting import Boosted

OPSET = 17
ML_OPSET = 3
MISSING_GOES_LEFT = "default_left"

Tree = list[dict[str, Any]]


def trees_of(model: Boosted) -> list[list[Tree]]:
    """Each forest's trees as flat lists of nodes.

    An inner node is ``{"feature", "threshold", "left", "right", "default_left", "value"}``, going
    left when the feature is at most the threshold, or unknown and ``default_left``; a leaf has
    ``value`` alone. ``value`` of an inner node is what the tree would say there.
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
            nodes.append({"value": node["leaf_value"]})
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
            MISSING_GOES_LEFT: bool(node["default_left"]) or node["missing_type"] == "None",
            "value": node["internal_value"],
        }
        return at

    visit(root)
    return nodes


def margin(forests: Sequence[Sequence[Sequence[Mapping[str, Any]]]], row: Sequence[float]) -> float:
    """The forests' mean margin for one account, walked in plain Python."""
    return float(np.mean([sum(_leaf(tree, row) for tree in forest) for forest in forests]))


def _leaf(tree: Sequence[Mapping[str, Any]], row: Sequence[float]) -> float:
    node = tree[0]
    while "feature" in node:
        value = row[node["feature"]]
        left = node[MISSING_GOES_LEFT] if value != value else value <= node["threshold"]
        node = tree[node["left" if left else "right"]]
    return float(node["value"])


def below(threshold: float) -> float:
    """The greatest single-precision number not above the threshold: features arrive as singles."""
    largest = float(np.finfo(np.float32).max)
    single = np.float32(min(max(threshold, -largest), largest))
    if float(single) > threshold:
        single = np.nextafter(single, np.float32(-np.inf))
    return float(single)


def onnx_trees(model: Boosted, n_features: int) -> onnx.ModelProto:
    """Input ``features`` (n, n_features) float; output ``margin`` (n, 1) float."""
    kept: dict[str, Any] = {}
    forests = trees_of(model)
    share = 1.0 / len(forests)
    for number, tree in enumerate(tree for forest in forests for tree in forest):
        for at, node in enumerate(tree):
            inner = "feature" in node
            for name, value in (
                ("nodes_treeids", number),
                ("nodes_nodeids", at),
                ("nodes_featureids", node.get("feature", 0)),
                ("nodes_values", below(node["threshold"]) if inner else 0.0),
                ("nodes_modes", "BRANCH_LEQ" if inner else "LEAF"),
                ("nodes_truenodeids", node.get("left", 0)),
                ("nodes_falsenodeids", node.get("right", 0)),
                ("nodes_missing_value_tracks_true", int(node.get(MISSING_GOES_LEFT, False))),
            ):
                kept.setdefault(name, []).append(value)
            if not inner:
                for name, value in (
                    ("target_treeids", number),
                    ("target_nodeids", at),
                    ("target_ids", 0),
                    ("target_weights", node["value"] * share),
                ):
                    kept.setdefault(name, []).append(value)
    ensemble = helper.make_node(
        "TreeEnsembleRegressor", ["features"], ["margin"], domain="ai.onnx.ml",
        n_targets=1, aggregate_function="SUM", post_transform="NONE", **kept,
    )  # fmt: skip
    graph = helper.make_graph(
        [ensemble],
        "screening",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, n_features])],
        [helper.make_tensor_value_info("margin", TensorProto.FLOAT, [None, 1])],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    built = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(built)
    return built


def write_artifact(
    folder: Path, model: Boosted, names: Sequence[str], about: Mapping[str, Any]
) -> dict[str, Any]:
    """``screening.onnx``, ``screening.trees.json`` and ``manifest.json``; returns the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "screening.onnx").write_bytes(onnx_trees(model, len(names)).SerializeToString())
    trees = {"features": list(names), "forests": trees_of(model)}
    (folder / "screening.trees.json").write_text(json.dumps(trees, separators=(",", ":")))
    manifest = dict(about) | {
        "features": list(names),
        "sha256": {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
            for name in ("screening.onnx", "screening.trees.json")
        },
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    return manifest
