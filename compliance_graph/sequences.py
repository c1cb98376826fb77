"""What an account's own transfers say: rhythm, order and amounts, never the date.

Every number here is unchanged when all times move by one constant; those named ``.amt.`` alone
change when all amounts are scaled, and those named ``.rel.`` need amounts but no unit.

Of a long history the first and the last :data:`ROWS_MAX` / 2 transfers of each side are read, in
training and in serving alike: a hub costs no more than others, and a flood of dust can push
neither an account's beginnings nor its present out of sight. Counts are of everything.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from compliance_graph.amounts import amount_names, amounts_into
from compliance_graph.graph import Floats, Transfers
from compliance_graph.kernels import (
    SPREAD,
    compiled,
    ends_of,
    inner,
    log_second,
    mean_and_sd,
    merged,
    picked,
    spread_into,
)

MINUTE_S, HOUR_S, DAY_S, WEEK_S, MONTH_S = 60, 3600, 86_400, 604_800, 2_592_000
ROWS_MAX = 1024
FIRST_N = 8
_LIMITS = np.array((MINUTE_S, HOUR_S, DAY_S, WEEK_S, MONTH_S))
_UNTIL = np.array((0.25, 0.5, 0.9))
_NONE = np.zeros(0, dtype=np.float64)


def log_seconds(seconds: npt.ArrayLike) -> Floats:
    """Signed ``log(1 + |s|)``: differences may point either way."""
    values = np.asarray(seconds, dtype=np.float64)
    out: Floats = np.sign(values) * np.log1p(np.abs(values))
    return out


def rhythm_names(prefix: str) -> list[str]:
    """Names of what :func:`rhythm_into` fills, in its order."""
    shape, time = f"{prefix}.shape", f"{prefix}.time"
    names = [f"{shape}.{c}" for c in ("in", "out", "count_in", "count_out")]
    names += [f"{shape}.in_share", f"{shape}.count_in_share"]
    names += [f"{shape}.{c}_{side}" for side in ("in", "out") for c in ("repeat", "repeat_max")]
    for side in ("all", "in", "out"):
        names += [f"{time}.{side}.gap.{s}" for s in SPREAD] + [f"{time}.{side}.burst"]
        names += [f"{time}.{side}.under_{w}" for w in ("min", "hour", "day", "week", "month")]
        names += [f"{time}.{side}.gap_max_share", f"{time}.{side}.memory"]
    names += [f"{time}.life.span"]
    for side in ("all", "in", "out"):
        kinds = ("span", "span_share", "centre", "place_sd", *(f"fifth{i}" for i in range(5)))
        kinds += ("entropy", "until25", "until50", "until90", "active_days", "per_active_day")
        names += [f"{time}.life.{side}_{kind}" for kind in (*kinds, "peak_day", "peak_day_n")]
    for kind in ("first_out_after", "last_out_after", "out_after_last_in"):
        names.append(f"{time}.life.{kind}")
    names += [f"{time}.life.in_after_last_out", f"{time}.life.in_before_first_out"]
    for kind in ("head", "tail", "head_out", "tail_out", "since_first", "to_last"):
        names += [f"{time}.seq.{kind}{i}" for i in range(FIRST_N)]
    names += [f"{shape}.order.{way}" for way in ("ii", "io", "oi", "oo")]
    names += [f"{shape}.order.run_{kind}" for kind in ("max", "mean", "last")]
    names += [f"{shape}.order.tri{i}" for i in range(8)]
    for kind in ("held", "wait"):
        names += [f"{time}.pass.{kind}.{s}" for s in SPREAD]
        names += [f"{time}.pass.{kind}_hour", f"{time}.pass.{kind}_day"]
    return names


def own_names(prefix: str) -> list[str]:
    """Names of all that an account's own transfers say."""
    return rhythm_names(prefix) + amount_names(prefix)


def own_values(received: Transfers, sent: Transfers) -> Floats:
    """What :func:`own_names` lists, each side oldest first."""
    names = own_names("own")
    out = np.full(len(names), np.nan)
    times = (received.time_s, sent.time_s)
    at = rhythm_into(times[0], received.count, times[1], sent.count, out, 0)
    amounts_into(times[0], received.amount, times[1], sent.amount, ROWS_MAX, out, at)
    return out


@compiled
def rhythm_into(t_in: Any, c_in: Any, t_out: Any, c_out: Any, out: Any, at: int) -> int:
    """What :func:`rhythm_names` lists, from times and counts of either side, oldest first."""
    at = counts_into(c_in, c_out, out, at)
    t_in, t_out = ends_of(t_in, ROWS_MAX), ends_of(t_out, ROWS_MAX)
    order, is_out = merged(t_in, t_out)
    times = picked(t_in, t_out, order)
    for side in (times, t_in, t_out):
        at = gaps_into(side, out, at)
    at = life_into(times, t_in, t_out, out, at)
    at = ends_into(times, is_out, out, at)
    at = order_into(is_out, out, at)
    return int(pass_into(t_in, t_out, out, at))


@inner
def counts_into(c_in: Any, c_out: Any, out: Any, at: int) -> int:
    n_in, n_out = len(c_in), len(c_out)
    sums = np.zeros(2)
    side_at = at + 6
    for side in range(2):
        counts = c_in if side == 0 else c_out
        repeats, top = 0, 0
        for c in counts:
            sums[side] += c
            repeats += c > 1
            top = max(top, c)
        if len(counts):
            out[side_at + 2 * side] = repeats / len(counts)
            out[side_at + 2 * side + 1] = top / sums[side]
    out[at] = math.log1p(n_in)
    out[at + 1] = math.log1p(n_out)
    out[at + 2] = math.log1p(sums[0])
    out[at + 3] = math.log1p(sums[1])
    out[at + 4] = n_in / max(1, n_in + n_out)
    out[at + 5] = sums[0] / max(1.0, sums[0] + sums[1])
    return at + 10


@inner
def gaps_into(times: Any, out: Any, at: int) -> int:
    n = len(times) - 1
    if n < 1:
        return at + 17
    gaps = (times[1:] - times[:-1]).astype(np.float64)
    logs = np.log1p(gaps)
    at = spread_into(logs, out, at)
    mean, deviation = mean_and_sd(gaps)
    out[at] = (deviation - mean) / max(1.0, deviation + mean)
    for i in range(len(_LIMITS)):
        under = 0
        for gap in gaps:
            under += gap < _LIMITS[i]
        out[at + 1 + i] = under / n
    out[at + 6] = gaps.max() / max(1.0, gaps.sum())
    if n > 2:
        a, b = logs[:-1] - logs[:-1].mean(), logs[1:] - logs[1:].mean()
        scale = math.sqrt((a * a).sum() * (b * b).sum())
        out[at + 7] = (a * b).sum() / max(1e-9, scale)
    return at + 8


@inner
def life_into(times: Any, t_in: Any, t_out: Any, out: Any, at: int) -> int:
    if not len(times):
        return at + 57
    first, span = times[0], times[-1] - times[0]
    out[at] = log_second(span)
    at += 1
    for own in (times, t_in, t_out):
        at = side_life_into(own, first, span, out, at)
    if len(t_in) and len(t_out):
        out[at] = log_second(t_out[0] - t_in[0])
        out[at + 1] = log_second(t_out[-1] - t_in[-1])
        out[at + 2] = (t_out > t_in[-1]).sum() / len(t_out)
        out[at + 3] = (t_in > t_out[-1]).sum() / len(t_in)
        out[at + 4] = (t_in < t_out[0]).sum() / len(t_in)
    return at + 5


@inner
def side_life_into(own: Any, first: int, span: int, out: Any, at: int) -> int:
    n = len(own)
    if not n:
        return at + 17
    out[at] = log_second(own[-1] - own[0])
    out[at + 1] = (own[-1] - own[0]) / max(1, span)
    place = (own - first) / max(1, span)
    out[at + 2], out[at + 3] = mean_and_sd(place)
    bins = np.zeros(5)
    for p in place:
        bins[min(int(p * 5), 4)] += 1
    entropy = 0.0
    for i in range(5):
        share = bins[i] / n
        out[at + 4 + i] = share
        if share > 0:
            entropy -= share * math.log(share)
    out[at + 9] = entropy
    for i in range(len(_UNTIL)):
        out[at + 10 + i] = log_second(own[min(n - 1, int(_UNTIL[i] * n))] - own[0])
    active, peak, end = 1, 1, 0
    for i in range(n):
        active += i > 0 and (own[i] - first) // DAY_S != (own[i - 1] - first) // DAY_S
        while end < n and own[end] <= own[i] + DAY_S:
            end += 1
        peak = max(peak, end - i)
    out[at + 13] = math.log1p(active)
    out[at + 14] = math.log(n / active)
    out[at + 15] = peak / n
    out[at + 16] = math.log(peak)
    return at + 17


@inner
def ends_into(times: Any, is_out: Any, out: Any, at: int) -> int:
    """The first and the last gaps one by one, with the direction of what followed."""
    n = len(times)
    for i in range(min(FIRST_N, n - 1)):
        out[at + i] = log_second(times[i + 1] - times[i])
        out[at + FIRST_N + i] = log_second(times[n - 1 - i] - times[n - 2 - i])
    for i in range(min(FIRST_N, n)):
        out[at + 2 * FIRST_N + i] = is_out[i]
        out[at + 3 * FIRST_N + i] = is_out[n - 1 - i]
        out[at + 4 * FIRST_N + i] = log_second(times[i] - times[0])
        out[at + 5 * FIRST_N + i] = log_second(times[n - 1] - times[n - 1 - i])
    return at + 6 * FIRST_N


@inner
def order_into(is_out: Any, out: Any, at: int) -> int:
    n = len(is_out)
    if n < 2:
        return at + 15
    codes, triples = np.zeros(4), np.zeros(8)
    longest, runs, run = 1, 1, 1
    for i in range(1, n):
        code = 2 * is_out[i - 1] + is_out[i]
        codes[code] += 1
        if i > 1:
            triples[4 * is_out[i - 2] + code] += 1
        if is_out[i] == is_out[i - 1]:
            run += 1
        else:
            runs += 1
            run = 1
        longest = max(longest, run)
    for i in range(4):
        out[at + i] = codes[i] / (n - 1)
    out[at + 4] = longest / n
    out[at + 5] = math.log(n / runs)
    out[at + 6] = math.log(run)
    if n > 2:
        for i in range(8):
            out[at + 7 + i] = triples[i] / (n - 2)
    return at + 15


@inner
def pass_into(t_in: Any, t_out: Any, out: Any, at: int) -> int:
    """How long money stays: from each payment out back to the latest in, and forward."""
    n_in, n_out = len(t_in), len(t_out)
    if not n_in or not n_out:
        return at + 22
    held, waits = np.empty(n_out), np.empty(n_in)
    kept, i = 0, 0
    for t in t_out:
        while i < n_in and t_in[i] <= t:
            i += 1
        if i:
            held[kept] = t - t_in[i - 1]
            kept += 1
    at = stay_into(held[:kept], n_out, out, at)
    kept, i = 0, 0
    for t in t_in:
        while i < n_out and t_out[i] < t:
            i += 1
        if i < n_out:
            waits[kept] = t_out[i] - t
            kept += 1
    return int(stay_into(waits[:kept], n_in, out, at))


@inner
def stay_into(seconds: Any, total: int, out: Any, at: int) -> int:
    at = spread_into(np.log1p(seconds), out, at)
    hour, day = 0, 0
    for s in seconds:
        hour += s < HOUR_S
        day += s < DAY_S
    out[at] = hour / total
    out[at + 1] = day / total
    return at + 2
