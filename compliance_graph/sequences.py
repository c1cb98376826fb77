"""What an account's own transfers say: rhythm, order and amounts, never the date.

Every number here is unchanged when all times move by one constant; those named ``.amt.`` alone
change when all amounts are scaled, and those named ``.rel.`` need amounts but no unit. A feature
that cannot be computed is NaN, which the trees take as an answer of its own.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from compliance_graph.graph import Floats, Ints, Transfers

Features = dict[str, float]
NAN = float("nan")
MINUTE_S, HOUR_S, DAY_S, WEEK_S, MONTH_S = 60, 3600, 86_400, 604_800, 2_592_000
QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
FIRST_N = 8
ROUND_TO = (1.0, 10.0, 100.0, 1000.0)


def log_seconds(seconds: npt.ArrayLike) -> Floats:
    """Signed ``log(1 + |s|)``: differences may point either way."""
    values = np.asarray(seconds, dtype=np.float64)
    out: Floats = np.sign(values) * np.log1p(np.abs(values))
    return out


def spread(values: Floats, name: str) -> Iterator[tuple[str, float]]:
    """Mean, deviation and quantiles (nearest rank) of the finite values."""
    kept = values[np.isfinite(values)]
    if not len(kept):
        yield from ((f"{name}.q{round(q * 100)}", NAN) for q in QUANTILES)
        yield from ((f"{name}.mean", NAN), (f"{name}.sd", NAN))
        return
    ordered = np.sort(kept)
    last = len(ordered) - 1
    for q in QUANTILES:
        yield f"{name}.q{round(q * 100)}", float(ordered[round(q * last)])
    yield f"{name}.mean", float(kept.mean())
    yield f"{name}.sd", float(kept.std())


def own_features(received: Transfers, sent: Transfers, prefix: str = "own") -> Features:
    """Features of one account from its transfers, each side oldest first."""
    times = np.concatenate((received.time_s, sent.time_s))
    order = np.argsort(times, kind="stable")
    times = times[order]
    is_out = np.concatenate((np.zeros(len(received)), np.ones(len(sent))))[order]
    amounts = np.concatenate((received.amount, sent.amount))[order]
    found: Features = {}
    found.update(_counts(received, sent, f"{prefix}.shape"))
    found.update(_gaps(times, f"{prefix}.time.all"))
    found.update(_gaps(received.time_s, f"{prefix}.time.in"))
    found.update(_gaps(sent.time_s, f"{prefix}.time.out"))
    found.update(_life(times, received.time_s, sent.time_s, f"{prefix}.time.life"))
    found.update(_ends(times, is_out, f"{prefix}.time.seq"))
    found.update(_order(is_out, f"{prefix}.shape.order"))
    found.update(_pass_through(received.time_s, sent.time_s, f"{prefix}.time.pass"))
    for side, rows in (("in", received), ("out", sent)):
        found.update(_amounts(rows.amount, f"{prefix}.amt.{side}", f"{prefix}.rel.{side}"))
    found.update(_flow(amounts, is_out, prefix))
    return found


def _counts(received: Transfers, sent: Transfers, name: str) -> Iterator[tuple[str, float]]:
    n_in, n_out = len(received), len(sent)
    c_in, c_out = float(received.count.sum()), float(sent.count.sum())
    yield f"{name}.in", np.log1p(n_in)
    yield f"{name}.out", np.log1p(n_out)
    yield f"{name}.count_in", np.log1p(c_in)
    yield f"{name}.count_out", np.log1p(c_out)
    yield f"{name}.in_share", n_in / max(1, n_in + n_out)
    yield f"{name}.count_in_share", c_in / max(1.0, c_in + c_out)
    for side, rows, total in (("in", received, c_in), ("out", sent, c_out)):
        yield f"{name}.repeat_{side}", float((rows.count > 1).mean()) if len(rows) else NAN
        yield f"{name}.repeat_max_{side}", float(rows.count.max()) / total if len(rows) else NAN


def _gaps(times: Ints, name: str) -> Iterator[tuple[str, float]]:
    gaps = np.diff(times).astype(np.float64)
    yield from spread(log_seconds(gaps), f"{name}.gap")
    if not len(gaps):
        return
    mean, deviation = gaps.mean(), gaps.std()
    yield f"{name}.burst", float((deviation - mean) / max(1.0, deviation + mean))
    for label, limit in (
        ("min", MINUTE_S),
        ("hour", HOUR_S),
        ("day", DAY_S),
        ("week", WEEK_S),
        ("month", MONTH_S),
    ):
        yield f"{name}.under_{label}", float((gaps < limit).mean())
    yield f"{name}.gap_max_share", float(gaps.max() / max(1.0, gaps.sum()))
    if len(gaps) > 2:
        logs = log_seconds(gaps)
        a, b = logs[:-1] - logs[:-1].mean(), logs[1:] - logs[1:].mean()
        yield (
            f"{name}.memory",
            float((a * b).sum() / max(1e-9, np.sqrt((a**2).sum() * (b**2).sum()))),
        )


def _life(times: Ints, t_in: Ints, t_out: Ints, name: str) -> Iterator[tuple[str, float]]:
    if not len(times):
        return
    first, span = int(times[0]), int(times[-1] - times[0])
    yield f"{name}.span", float(log_seconds(span))
    for side, own in (("all", times), ("in", t_in), ("out", t_out)):
        if not len(own):
            continue
        yield f"{name}.{side}_span", float(log_seconds(own[-1] - own[0]))
        yield f"{name}.{side}_span_share", float((own[-1] - own[0]) / max(1, span))
        place = (own - first) / max(1, span)
        yield f"{name}.{side}_centre", float(place.mean())
        yield f"{name}.{side}_place_sd", float(place.std())
        bins = np.bincount(np.minimum((place * 5).astype(np.int64), 4), minlength=5) / len(own)
        for i, share in enumerate(bins):
            yield f"{name}.{side}_fifth{i}", float(share)
        busy = bins[bins > 0]
        yield f"{name}.{side}_entropy", float(-(busy * np.log(busy)).sum())
        for share_of in (0.25, 0.5, 0.9):
            at = own[min(len(own) - 1, int(share_of * len(own)))] - own[0]
            yield f"{name}.{side}_until{round(share_of * 100)}", float(log_seconds(at))
        days = (own - first) // DAY_S
        active = len(np.unique(days))
        yield f"{name}.{side}_active_days", float(np.log1p(active))
        yield f"{name}.{side}_per_active_day", float(np.log(len(own) / active))
        peak = np.searchsorted(own, own + DAY_S, side="right") - np.arange(len(own))
        yield f"{name}.{side}_peak_day", float(peak.max() / len(own))
        yield f"{name}.{side}_peak_day_n", float(np.log(peak.max()))
    if len(t_in) and len(t_out):
        yield f"{name}.first_out_after", float(log_seconds(t_out[0] - t_in[0]))
        yield f"{name}.last_out_after", float(log_seconds(t_out[-1] - t_in[-1]))
        yield f"{name}.out_after_last_in", float((t_out > t_in[-1]).mean())
        yield f"{name}.in_after_last_out", float((t_in > t_out[-1]).mean())
        yield f"{name}.in_before_first_out", float((t_in < t_out[0]).mean())


def _ends(times: Ints, is_out: Floats, name: str) -> Iterator[tuple[str, float]]:
    """The first and the last gaps one by one, with the direction of what followed."""
    gaps = log_seconds(np.diff(times))
    for i in range(min(FIRST_N, len(gaps))):
        yield f"{name}.head{i}", float(gaps[i])
        yield f"{name}.tail{i}", float(gaps[-1 - i])
    for i in range(min(FIRST_N, len(times))):
        yield f"{name}.head_out{i}", float(is_out[i])
        yield f"{name}.tail_out{i}", float(is_out[-1 - i])
        yield f"{name}.since_first{i}", float(log_seconds(times[i] - times[0]))
        yield f"{name}.to_last{i}", float(log_seconds(times[-1] - times[-1 - i]))


def _order(is_out: Floats, name: str) -> Iterator[tuple[str, float]]:
    if len(is_out) < 2:
        return
    codes = (is_out[:-1] * 2 + is_out[1:]).astype(np.int64)
    shares = np.bincount(codes, minlength=4) / len(codes)
    for code, share in zip(("ii", "io", "oi", "oo"), shares, strict=True):
        yield f"{name}.{code}", float(share)
    turns = np.flatnonzero(np.diff(is_out)) + 1
    runs = np.diff(np.concatenate(([0], turns, [len(is_out)])))
    yield f"{name}.run_max", float(runs.max() / len(is_out))
    yield f"{name}.run_mean", float(np.log(runs.mean()))
    yield f"{name}.run_last", float(np.log(runs[-1]))
    if len(is_out) > 2:
        triples = (codes[:-1] * 2 + is_out[2:]).astype(np.int64)
        for triple, share in enumerate(np.bincount(triples, minlength=8) / len(triples)):
            yield f"{name}.tri{triple}", float(share)


def _pass_through(t_in: Ints, t_out: Ints, name: str) -> Iterator[tuple[str, float]]:
    """How long money stays: from each payment out back to the latest in, and forward."""
    if not len(t_in) or not len(t_out):
        return
    before = np.searchsorted(t_in, t_out, side="right") - 1
    held = (t_out - t_in[np.maximum(before, 0)])[before >= 0]
    after = np.searchsorted(t_out, t_in, side="left")
    waits = (t_out[np.minimum(after, len(t_out) - 1)] - t_in)[after < len(t_out)]
    for label, values, total in (("held", held, len(t_out)), ("wait", waits, len(t_in))):
        yield from spread(log_seconds(values), f"{name}.{label}")
        yield f"{name}.{label}_hour", float((values < HOUR_S).sum() / total)
        yield f"{name}.{label}_day", float((values < DAY_S).sum() / total)


def _amounts(amounts: Floats, amt: str, rel: str) -> Iterator[tuple[str, float]]:
    if not len(amounts):
        return
    logs = np.log(np.maximum(amounts, 1e-9))
    total = float(amounts.sum())
    yield f"{amt}.sum", float(np.log1p(total))
    yield from spread(logs, f"{amt}.log")
    for i in range(min(5, len(logs))):
        yield f"{amt}.head{i}", float(logs[i])
        yield f"{amt}.tail{i}", float(logs[-1 - i])
    for unit in ROUND_TO:
        scaled = amounts * unit
        whole = np.abs(scaled - np.round(scaled)) < 1e-6 * np.maximum(1.0, scaled)
        yield f"{amt}.round{round(unit)}", float((whole & (amounts > 0)).mean())
    yield f"{amt}.zero", float((amounts == 0).mean())
    yield f"{rel}.sd", float(logs.std())
    yield f"{rel}.max_share", float(amounts.max() / max(total, 1e-12))
    _, repeats = np.unique(amounts, return_counts=True)
    yield f"{rel}.distinct", float(len(repeats) / len(amounts))
    yield f"{rel}.mode", float(repeats.max() / len(amounts))
    ranked = np.sort(amounts)
    ranks = np.arange(1, len(ranked) + 1)
    gini = (2 * (ranks * ranked).sum() / max(ranked.sum(), 1e-12) - len(ranked) - 1) / len(ranked)
    yield f"{rel}.gini", float(gini)
    centre = float(np.median(logs))
    for q in (0.1, 0.25, 0.75, 0.9):
        yield (
            f"{rel}.from_median{round(q * 100)}",
            float(np.sort(logs)[round(q * (len(logs) - 1))] - centre),
        )
    for i in range(min(3, len(logs))):
        yield f"{rel}.head{i}", float(logs[i] - centre)
        yield f"{rel}.tail{i}", float(logs[-1 - i] - centre)
    if len(logs) > 2:
        steps = np.arange(len(logs)) - (len(logs) - 1) / 2
        rise = (steps * (logs - logs.mean())).sum()
        scale = np.sqrt((steps**2).sum() * ((logs - logs.mean()) ** 2).sum())
        yield f"{rel}.trend", float(rise / max(scale, 1e-9))


def _flow(amounts: Floats, is_out: Floats, prefix: str) -> Iterator[tuple[str, float]]:
    """Amounts of both directions against each other, and against the running balance."""
    if not len(amounts):
        return
    into, out = float(amounts[is_out == 0].sum()), float(amounts[is_out == 1].sum())
    yield f"{prefix}.amt.turnover", float(np.log1p(into + out))
    yield f"{prefix}.rel.out_share", out / max(into + out, 1e-12)
    yield f"{prefix}.rel.kept", max(into - out, 0.0) / max(into, 1e-12) if into else NAN
    if not into or not out:
        return
    means = np.log(np.maximum([amounts[is_out == s].mean() for s in (0, 1)], 1e-9))
    yield f"{prefix}.rel.mean_out_over_in", float(means[1] - means[0])
    peaks = np.log(np.maximum([amounts[is_out == s].max() for s in (0, 1)], 1e-9))
    yield f"{prefix}.rel.max_out_over_in", float(peaks[1] - peaks[0])
    signed = np.where(is_out == 1, -amounts, amounts)
    balance = np.cumsum(signed) - signed
    drained = amounts[is_out == 1] / np.maximum(balance[is_out == 1], 1e-9)
    drained = np.clip(drained, 0.0, 2.0)
    yield from spread(drained, f"{prefix}.rel.drain")
    yield f"{prefix}.rel.sweeps", float(((drained > 0.9) & (drained < 1.1)).mean())
    peak = np.maximum.accumulate(np.cumsum(signed)).max()
    yield f"{prefix}.rel.end_over_peak", float(np.clip(signed.sum() / max(peak, 1e-9), -1, 1))
