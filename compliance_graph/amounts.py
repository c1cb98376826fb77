"""What the amounts of an account's own transfers say: their spread, roundness and flow.

Amounts and even their ratios encode how wealthy an account is, and honest people of one data set
are not as wealthy as those of another: the served model is trained without them.
"""

import math
from typing import Any

import numpy as np

from compliance_graph.kernels import (
    SPREAD,
    compiled,
    ends_of,
    inner,
    mean_and_sd,
    merged,
    picked,
    spread_into,
)

ROUND_TO = (1.0, 10.0, 100.0, 1000.0)
_UNITS = np.array(ROUND_TO)
_TAILS = np.array((0.1, 0.25, 0.75, 0.9))


def amount_names(prefix: str) -> list[str]:
    """Names of what :func:`amounts_into` fills, in its order."""
    names = []
    for side in ("in", "out"):
        amt, rel = f"{prefix}.amt.{side}", f"{prefix}.rel.{side}"
        names += [f"{amt}.sum", *(f"{amt}.log.{s}" for s in SPREAD)]
        names += [f"{amt}.{end}{i}" for end in ("head", "tail") for i in range(5)]
        names += [f"{amt}.round{round(unit)}" for unit in ROUND_TO] + [f"{amt}.zero"]
        names += [f"{rel}.{kind}" for kind in ("sd", "max_share", "distinct", "mode", "gini")]
        names += [f"{rel}.from_median{q}" for q in (10, 25, 75, 90)]
        names += [f"{rel}.{end}{i}" for end in ("head", "tail") for i in range(3)]
        names.append(f"{rel}.trend")
    names += [f"{prefix}.amt.turnover", f"{prefix}.rel.out_share", f"{prefix}.rel.kept"]
    names += [f"{prefix}.rel.mean_out_over_in", f"{prefix}.rel.max_out_over_in"]
    names += [f"{prefix}.rel.drain.{s}" for s in SPREAD]
    return [*names, f"{prefix}.rel.sweeps", f"{prefix}.rel.end_over_peak"]


@compiled
def amounts_into(t_in: Any, a_in: Any, t_out: Any, a_out: Any, most: int, out: Any, at: int) -> int:
    """What :func:`amount_names` lists, from at most ``most`` rows of either side by time."""
    order, is_out = merged(ends_of(t_in, most), ends_of(t_out, most))
    a_in, a_out = ends_of(a_in, most), ends_of(a_out, most)
    for amounts in (a_in, a_out):
        at = side_into(amounts, out, at)
    return int(flow_into(picked(a_in, a_out, order), is_out, out, at))


@inner
def side_into(amounts: Any, out: Any, at: int) -> int:
    n = len(amounts)
    if not n:
        return at + 41
    logs = np.log(np.maximum(amounts, 1e-9))
    total = amounts.sum()
    out[at] = math.log1p(total)
    at = spread_into(logs, out, at + 1)
    for i in range(min(5, n)):
        out[at + i] = logs[i]
        out[at + 5 + i] = logs[n - 1 - i]
    at += 10
    for i in range(len(_UNITS)):
        whole = 0
        for amount in amounts:
            scaled = amount * _UNITS[i]
            near = abs(scaled - np.rint(scaled)) < 1e-6 * max(1.0, scaled)
            whole += near and amount > 0
        out[at + i] = whole / n
    out[at + 4] = (amounts == 0).sum() / n
    at += 5
    out[at] = mean_and_sd(logs)[1]
    out[at + 1] = amounts.max() / max(total, 1e-12)
    at = shares_into(np.sort(amounts), out, at + 2)
    ordered = np.sort(logs)
    centre = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    for i in range(len(_TAILS)):
        out[at + i] = ordered[int(np.rint(_TAILS[i] * (n - 1)))] - centre
    for i in range(min(3, n)):
        out[at + 4 + i] = logs[i] - centre
        out[at + 7 + i] = logs[n - 1 - i] - centre
    if n > 2:
        out[at + 10] = trend(logs)
    return at + 11


@inner
def shares_into(ranked: Any, out: Any, at: int) -> int:
    """How many different amounts, how common the commonest, and how unequal (Gini)."""
    n = len(ranked)
    distinct, mode, run, weighted = 1, 1, 1, 0.0
    for i in range(n):
        weighted += (i + 1) * ranked[i]
        if i and ranked[i] == ranked[i - 1]:
            run += 1
        elif i:
            distinct += 1
            run = 1
        mode = max(mode, run)
    out[at] = distinct / n
    out[at + 1] = mode / n
    out[at + 2] = (2 * weighted / max(ranked.sum(), 1e-12) - n - 1) / n
    return at + 3


@inner
def trend(logs: Any) -> float:
    n = len(logs)
    steps = np.arange(n) - (n - 1) / 2
    apart = logs - logs.mean()
    scale = math.sqrt((steps * steps).sum() * (apart * apart).sum())
    return float((steps * apart).sum() / max(scale, 1e-9))


@inner
def flow_into(amounts: Any, is_out: Any, out: Any, at: int) -> int:
    """Amounts of both directions against each other, and against the running balance."""
    if not len(amounts):
        return at + 16
    a_in, a_out = amounts[~is_out], amounts[is_out]
    into, gone = a_in.sum(), a_out.sum()
    out[at] = math.log1p(into + gone)
    out[at + 1] = gone / max(into + gone, 1e-12)
    if into:
        out[at + 2] = max(into - gone, 0.0) / max(into, 1e-12)
    if not into or not gone:
        return at + 16
    out[at + 3] = math.log(max(a_out.mean(), 1e-9)) - math.log(max(a_in.mean(), 1e-9))
    out[at + 4] = math.log(max(a_out.max(), 1e-9)) - math.log(max(a_in.max(), 1e-9))
    drained = np.empty(len(a_out))
    balance, peak, at_out = 0.0, -np.inf, 0
    for i in range(len(amounts)):
        if is_out[i]:
            drained[at_out] = min(max(amounts[i] / max(balance, 1e-9), 0.0), 2.0)
            at_out += 1
            balance -= amounts[i]
        else:
            balance += amounts[i]
        peak = max(peak, balance)
    spread_into(drained, out, at + 5)
    out[at + 14] = ((drained > 0.9) & (drained < 1.1)).sum() / len(drained)
    out[at + 15] = min(max(balance / max(peak, 1e-9), -1.0), 1.0)
    return at + 16
