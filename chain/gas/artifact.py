"""The trained file: found, checked against its own hash, and opened; nothing in it is code."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chain.gas import features
from chain.gas.features import Array
from chain.gas.forest import Forest

SHIPPED = Path(__file__).parent / "artifacts" / "gas_policy.json"
FORMAT = "tidegate-gas-3"


class BadArtifact(ValueError):
    """A model file that is missing, damaged, or made for other features."""


@dataclass(slots=True)
class Forecast:
    """What the forecast learned; every array but ``table`` has one entry per horizon.

    ``table``: quantiles of standardised errors, shape ``(horizons, levels)``; where the
    spread starts. ``trust_after``: independent errors after which recent ones count half.
    """

    forest: Forest
    table: Array
    location_share: Array
    ratio_power: Array
    ridge: Array
    trust_after: Array
    stretch_rate: float
    half_life_blocks: float


@dataclass(slots=True)
class Model:
    """All learned numbers. ``horizon`` is the largest number of remaining blocks it tells apart.

    ``grid``: remaining blocks that have trees of their own; between them the log is linear in the
    log of the blocks. ``hinge_directions``: shape ``(linear columns, hinges)``, see
    :class:`chain.gas.policy.Correction`. ``learned_share`` and ``percentiles`` have
    shape ``(horizon,)``.
    """

    grid: tuple[int, ...]
    forest: Forest
    linear_columns: NDArray[np.int64]
    linear_mean: Array
    linear_scale: Array
    hinge_directions: Array
    hinge_offsets: Array
    corrected_blocks: int
    half_life_blocks: float
    ridge: float
    solve_every_blocks: int
    learned_share: Array
    percentiles: Array
    forecast: Forecast
    digest: str

    @property
    def horizon(self) -> int:
        return len(self.percentiles)

    def prior(self, rows: Array) -> Array:
        """The trees' answer, shape ``(rows, horizon)``: log of (cost of waiting / fee)."""
        answers = self.forest.predict(rows)
        blocks = np.log(np.arange(1, self.horizon + 1))
        knots = np.log(np.array(self.grid))
        below = np.clip(np.searchsorted(knots, blocks, side="right") - 1, 0, len(knots) - 2)
        share = np.minimum((blocks - knots[below]) / (knots[below + 1] - knots[below]), 1.0)
        prior: Array = answers[:, below] * (1 - share) + answers[:, below + 1] * share
        return prior


def digest(content: dict[str, Any]) -> str:
    """SHA-256 over everything but the hash itself, in one canonical spelling."""
    rest = {key: value for key, value in content.items() if key != "sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def load(path: Path | None = None) -> Model:
    """The shipped model, or the one at ``path``. Raises :class:`BadArtifact`."""
    source = path or SHIPPED
    try:
        content = json.loads(source.read_text())
    except (OSError, ValueError) as error:
        raise BadArtifact(f"{source}: cannot be read: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise BadArtifact(f"{source}: is not a model of format {FORMAT}")
    if content.get("sha256") != digest(content):
        raise BadArtifact(f"{source}: its content does not match its hash")
    if content.get("features") != list(features.NAMES):
        raise BadArtifact(f"{source}: was trained on other features than this code makes")
    return build(content)


def build(content: dict[str, Any]) -> Model:
    """The model of an artifact's content. Raises :class:`BadArtifact`."""
    try:
        blocks = np.arange(1, content["horizon_blocks"] + 1)
        blending = content["blend"]
        linear = content["linear"]
        return Model(
            grid=tuple(content["grid"]),
            forest=Forest(content["trees"]),
            linear_columns=np.array([features.NAMES.index(name) for name in linear["names"]]),
            linear_mean=np.array(linear["mean"]),
            linear_scale=np.array(linear["scale"]),
            hinge_directions=np.array(linear["hinge_directions"]),
            hinge_offsets=np.array(linear["hinge_offsets"]),
            corrected_blocks=linear["corrected_blocks"],
            half_life_blocks=linear["half_life_blocks"],
            ridge=linear["ridge"],
            solve_every_blocks=linear["solve_every_blocks"],
            learned_share=1 / (1 + (blocks / blending["half_blocks"]) ** blending["power"]),
            percentiles=blending["percentile_blocks"] / (blocks + blending["percentile_blocks"]),
            forecast=_forecast(content["forecast"]),
            digest=content["sha256"],
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise BadArtifact(f"the model is malformed: {error!r}") from error


def _forecast(content: dict[str, Any]) -> Forecast:
    return Forecast(
        forest=Forest(content["trees"]),
        table=np.array(content["table"]),
        location_share=np.array(content["location_share"]),
        ratio_power=np.array(content["ratio_power"]),
        ridge=np.array(content["ridge"]),
        trust_after=np.array(content["trust_after"]),
        stretch_rate=content["stretch_rate"],
        half_life_blocks=content["half_life_blocks"],
    )
