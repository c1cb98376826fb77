"""Learn again from what was stored: a challenger, judged beside the champion on what neither saw.

The newest blocks are kept apart; the challenger is taught on those before them (extra ``gas``).
It is promoted only when it captures more of foresight's saving there, loses clearly at no
deadline, and forecasts no worse. What was seen of one regime is no proof for the next, so the
champion stays where the two are equal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from chain.gas import artifact, features, scores
from chain.gas.artifact import BadArtifact, Model
from chain.gas.backtest import arrivals, foresight, reservation_rule, walk, warm_up
from chain.gas.forecast import walk_quantiles
from chain.gas.history import GasHeader
from chain.gas.policy import walk_margins
from chain.gas.windows import BlockWindow, MalformedFile

UNSEEN_SHARE = 5
"""One fifth of the newest connected blocks is kept apart."""
UNSEEN_MIN, UNSEEN_MAX, TRAINED_MIN = 600, 3_000, 2_000
DEADLINES_BLOCKS = (5, 50, 300)
BETTER_BY = 0.005
WORSE_BY = 0.03
_PINBALL_SLACK = 1.01
TRY_AGAIN = timedelta(days=1)
"""After a training that made no model: too little history, or a process that was killed."""


class TooLittleHistory(ValueError):
    """There are not enough blocks to train on some and judge on others."""


@dataclass(frozen=True, slots=True)
class Trial:
    """``scores``: champion and challenger, JSON-ready; ``is_better``: promote the challenger."""

    scores: Mapping[str, Any]
    is_better: bool


def is_due(
    now: datetime, every: timedelta, trained_at: datetime | None, begun_at: datetime | None
) -> bool:
    """Whether to train: the newest model is ``every`` old or missing, and no training was begun
    in vain within :data:`TRY_AGAIN`. Restarts change nothing about it."""
    if trained_at is not None and now - trained_at < every:
        return False
    return begun_at is None or now - begun_at >= min(every, TRY_AGAIN)


def windows_of(rows: Sequence[GasHeader]) -> list[BlockWindow]:
    """Stored blocks, rising, cut where blocks are missing."""
    cuts = [at for at in range(1, len(rows)) if rows[at].number != rows[at - 1].number + 1]
    parts = [rows[a:b] for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    return [_window(part) for part in parts if part]


def _window(rows: Sequence[GasHeader]) -> BlockWindow:
    return BlockWindow(
        f"blocks {rows[0].number} to {rows[-1].number}",
        np.array([row.number for row in rows], np.int64),
        np.array([row.time_s for row in rows], np.float64),
        np.array([max(row.base_fee_wei, 1) for row in rows], np.float64),
        np.array([row.gas_used for row in rows], np.int64),
        np.array([row.gas_limit for row in rows], np.int64),
    )


def divide(rows: Sequence[GasHeader]) -> tuple[list[BlockWindow], BlockWindow]:
    """What to train on, and the newest window, unseen. Raises :class:`TooLittleHistory`."""
    windows = windows_of(rows)
    newest = len(windows[-1]) if windows else 0
    unseen = min(max(newest // UNSEEN_SHARE, UNSEEN_MIN), UNSEEN_MAX)
    older = windows_of(rows[: len(rows) - unseen])
    known = [window for window in older if len(window) >= UNSEEN_MIN]
    if newest < unseen or sum(map(len, known)) < TRAINED_MIN:
        raise TooLittleHistory(
            f"{len(rows)} blocks are known; {TRAINED_MIN} to train on and {unseen} connected ones "
            "to judge by are needed"
        )
    return known, _window(rows[len(rows) - unseen :])


def judge(unseen: BlockWindow, champion: Model, challenger: Model) -> Trial:
    """Both walk the unseen window as they would have served."""
    ours, theirs = _scores(unseen, champion), _scores(unseen, challenger)
    return Trial(
        {"window": unseen.name, "blocks": len(unseen), "champion": ours, "challenger": theirs},
        is_better(ours, theirs),
    )


def is_better(champion: Mapping[str, Any], challenger: Mapping[str, Any]) -> bool:
    """More captured on average, nowhere clearly less, and a forecast that is no worse."""
    gains = [
        challenger["captured"][deadline] - captured
        for deadline, captured in champion["captured"].items()
    ]
    return bool(
        gains
        and sum(gains) / len(gains) > BETTER_BY
        and min(gains) > -WORSE_BY
        and challenger["pinball_5"] <= champion["pinball_5"] * _PINBALL_SLACK
    )


def _scores(window: BlockWindow, model: Model) -> dict[str, Any]:
    rule = reservation_rule(walk_margins(window.fees, window.times, model))
    captured = {}
    for deadline in DEADLINES_BLOCKS:
        try:
            arrived = arrivals(window, deadline)
        except MalformedFile:  # too short for this deadline
            continue
        decided = walk(window, deadline, rule, stops=True)
        best = foresight(window, deadline)
        outcome = scores.outcome(window, arrived, decided, best, deadline)
        captured[str(deadline)] = round(outcome["captured"], 4)
    quantiles = walk_quantiles(window.fees, window.times, model)
    loss = scores.pinball(window, quantiles, warm_up(len(window)))["5"]
    return {
        "model": model.digest,
        "captured": captured,
        "pinball_5": round(loss["policy"], 6),
        "coverage_5": round(loss["coverage_80"], 4),
    }


def open_model(content: Mapping[str, Any]) -> Model:
    """A stored model, checked as a file would be.

    Raises :class:`~chain.gas.artifact.BadArtifact`.
    """
    checked = dict(content)
    fits = checked.get("format") == artifact.FORMAT
    fits = fits and checked.get("features") == list(features.NAMES)
    if not fits or checked.get("sha256") != artifact.digest(checked):
        raise BadArtifact("the stored model is damaged, or made for another version")
    return artifact.build(checked)


def challenge(rows: Sequence[GasHeader], champion: Model) -> tuple[dict[str, Any], Trial]:
    """Train on the older blocks, judge on the newest; the challenger's content, and the trial.

    Raises :class:`TooLittleHistory`, and ``ImportError`` without the extra ``gas``.
    """
    from chain.gas import train

    known, unseen = divide(rows)
    content = train.content(known, {})
    return content, judge(unseen, champion, artifact.build(content))
