"""Gradient-boosted trees on the features: the strongest single judge on small labelled sets.

A few small forests with different seeds are averaged; each tree sees a tenth of the columns, for
many of them tell the same story.
"""

from typing import Any

import lightgbm
import numpy as np

from compliance_graph.graph import Floats, Ints

BAG = 2
ROUNDS = 400
PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.03,
    "num_leaves": 15,
    "min_data_in_leaf": 8,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "feature_fraction": 0.1,
    "max_bin": 63,
    "lambda_l2": 2.0,
    "verbose": -1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "feature_pre_filter": False,
}


class Boosted:
    """A bag of boosted forests; ``logits`` is the mean of their margins."""

    def __init__(self, forests: list[lightgbm.Booster]) -> None:
        self.forests = forests

    @staticmethod
    def fit(
        values: Floats, labels: Ints, seed: int, bag: int = BAG, rounds: int = ROUNDS
    ) -> "Boosted":
        forests = []
        for i in range(bag):
            data = lightgbm.Dataset(values, labels, params={"verbose": -1})
            parameters = PARAMETERS | {"seed": 1000 * seed + i}
            forests.append(lightgbm.train(parameters, data, rounds))
        return Boosted(forests)

    def logits(self, values: Floats) -> Floats:
        margins = [np.asarray(f.predict(values, raw_score=True)) for f in self.forests]
        out: Floats = np.mean(margins, axis=0)
        return out
