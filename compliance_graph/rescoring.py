"""Asking the model again what it was asked: that an answer on record was the model's own.

A verdict keeps the features that the model read, bit for bit. What they were ranked by where the
graph is its own measure is kept once per version; the trees are the deployed ones, if these are
still the same. Trees run one after another in float32, so that the same runtime gives the same
digits.
"""

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from compliance_graph.assessment import ModelAnswer
from compliance_graph.graph import Floats
from compliance_graph.scoring import Scorer

FORMAT = 1


def packed(values: Floats) -> str:
    """Every bit of the numbers, NaN included: 11 letters each and a few microseconds for all."""
    return base64.b64encode(values.astype("<f8", copy=False).tobytes()).decode()


def unpacked(text: str) -> Floats:
    return np.frombuffer(base64.b64decode(text), dtype="<f8").astype(np.float64)


def measure_of(scorer: Scorer) -> str | None:
    """What a scorer ranks by, as text; ``None`` where it is the shipped model's own."""
    if not scorer.has_own_grid:
        return None
    grid = zlib.compress(scorer.grid.astype("<f8").tobytes())
    found = {
        "format": FORMAT,
        "shape": list(scorer.grid.shape),
        "grid": base64.b64encode(grid).decode(),
    }
    return json.dumps(found, sort_keys=True)


def grid_from(content: str) -> Floats:
    stored: dict[str, Any] = json.loads(content)
    raw = zlib.decompress(base64.b64decode(stored["grid"]))
    grid = np.frombuffer(raw, dtype="<f8").astype(np.float64)
    return grid.reshape(stored["shape"])


class Rescorer:
    """The deployed model; ``measures`` holds by version what was kept by ``keep_model``.

    ``said`` tells what became of each answer: asked again, or why it could not be.
    """

    def __init__(self, scorer: Scorer, measures: Mapping[str, str]) -> None:
        self._scorer, self._measures = scorer, measures
        self.said: list[str] = []

    def __call__(self, answer: ModelAnswer) -> ModelAnswer:
        """What the model says now; the answer itself where it cannot be asked again."""
        scorer, why = self._ready(answer)
        if scorer is None or answer.asked is None:
            self.said.append(f"model {answer.version} is not asked again: {why}")
            return answer
        score = scorer.judged_row(unpacked(answer.asked))
        self.said.append(f"model {score.model_version} says {score.probability_ppm} ppm")
        return ModelAnswer(
            score.probability_ppm, score.abstained, score.model_version, score.review, answer.asked
        )

    def _ready(self, answer: ModelAnswer) -> tuple[Scorer | None, str]:
        if answer.probability_ppm is None:
            return None, "it abstained"
        if answer.asked is None:
            return None, "what it was asked was not kept yet"
        deployed = self._scorer.artifact.version
        name, _, own = answer.version.partition(".")
        if name != deployed:
            return None, f"it is no longer deployed, {deployed} is; its answer stands as evidence"
        if not own:
            return self._scorer, ""
        content = self._measures.get(answer.version)
        if content is None:
            return None, "what it measured accounts by was not kept"
        return Scorer(self._scorer.artifact, grid_from(content)), ""
