"""The model card: every figure in it comes from the training that it describes."""

from collections.abc import Mapping
from math import exp
from typing import Any

from compliance_graph.features import GRID

TEMPLATE = """# Model card: wallet screening

**What it is.** {bag} bagged forests of {rounds} small boosted trees each, over {features} features
of the transfer graph within one hop of an account: its own rhythm and order, the ages and habits of
its counterparties, small patterns. Each feature is read as a rank (among {grid} quantiles) within
the graph that the account is in. No amounts, no absolute time, no labels of neighbours. Served by
onnxruntime; a changed byte refuses to load.

**Intended use.** To pick wallets for review by a compliance officer, beside lists and rules. **The
model alone never refuses anybody; it only sends to review.** Not for decisions without a person,
not for accounts with fewer than {pairs_min} counterparties or more than {pairs_max:,} (it abstains:
of the {short} accounts with so few that it learned from {short_illicit} are illicit, and no account
that it learned from has more than {pairs_learned_max:,}), not for contracts or exchanges.

**Data.** Labelled training parts of two public sets of Ethereum accounts, both from XBlock: T-EDGE
({tedge:,} accounts, one row per pair of accounts) and TSGN ({tsgn:,} accounts, single transfers,
2015 to 2019); an account in both is taken once. Learned from {licit:,} licit and {illicit:,}
illicit (phishing) accounts. Neither source states a licence: the data are not part of this
repository, only numbers learned from them are.

**How it was judged.** Evaluated on {evaluated_on}: trained on one alone, judged on the other's
labelled accounts that are not in the first, through the serving code itself (exported trees, ranks
among up to {reference_max:,} accounts of the judged graph, abstentions): {judged}. Mean of {seeds},
with the deviation over the seeds; bootstrap errors are over accounts.

{crossings}

It abstained from {abstained}. Over the accounts that it scored alone:

{scored}

Review begins at log-odds {limit}, a calibrated probability of {review:.3f}. The limit was chosen
with both crossings in view; on a third source expect somewhat more honest accounts flagged.
Calibration is fitted on both crossings as served, on scored accounts; it weighs illicit and honest
accounts alike, as if every second account were illicit: among customers far fewer are, so read the
probability as a rank, not as a frequency.

Within one source ({within_on}, {within_split}), as served, same limit:

{within}

**Known bias.**
- Licit accounts of both sources are older and richer than the illicit ones; amounts and dates are
  left out for that reason, and rhythm still carries some of it. Among accounts first seen within 30
  days of each other the AUC within one source is
  {contemporaries}.
- "Illicit" means phishing as reported by 2019. Laundering, ransom, later drainer contracts and
  other chains were never seen; rules and lists stand for them.
- The sources hold whole lives, a screening sees beginnings.
- Ranks need a graph. With fewer than {reference_min} accounts of {pairs_min} to {pairs_max:,}
  counterparties in it the training accounts are the reference, and the same limit flags on the
  crossings, abstentions included,
  {few}.
- The graph network has no vote. Trained on the same accounts, one seed, and judged at the same
  limit on the scored accounts of the crossings it flags
  {network}.
  It is shipped as a second opinion, told to the officer in the explanation.
"""

KINDS = ("false_positive_rate", "recall", "precision", "auc", "average_precision")
HEAD = "honest flagged | recall | precision | AUC | average precision |"


def card(about: Mapping[str, Any]) -> str:
    """Markdown, of a manifest as :func:`compliance_graph.train_shipped.train` writes it."""
    figures, scale, limit = about["figures"], about["calibration"], about["review_log_odds"]
    first = next(iter(figures.values()))
    short = about["accounts_below_pairs_min"]
    own = {name.split(" to ")[0]: f["on_own_source_held_out"] for name, f in figures.items()}
    seeds = first["seeds"]
    return TEMPLATE.format(
        **about["forests"],
        features=len(about["features"]),
        grid=GRID,
        **{k: about[k] for k in COPIED},
        short=sum(short.values()),
        short_illicit=short["illicit"],
        tedge=about["sources"]["T-EDGE"],
        tsgn=about["sources"]["TSGN"],
        **about["accounts"],
        evaluated_on=first["evaluated_on"],
        judged=first["judged"],
        seeds=f"{seeds} seeds" if seeds > 1 else "one seed",
        crossings=_table(
            "trained on, judged on | accounts",
            {f"{name} | {f['accounts_evaluated']:,}": f for name, f in figures.items()},
        ),
        abstained=" and ".join(
            f"{_silent(f['accounts_abstained'])} ({name})" for name, f in figures.items()
        ),
        scored=_table(
            "trained on, judged on", {name: f["over_scored"] for name, f in figures.items()}
        ),
        limit=limit,
        review=1 / (1 + exp(-(scale["slope"] * limit + scale["offset"]))),
        within_on=next(iter(own.values()))["evaluated_on"],
        within_split=next(iter(own.values()))["split"],
        within=_table("source", own),
        contemporaries=_listed({name: _near(f) for name, f in own.items()}),
        few=_listed({k: _flags(f["ranked_among_training_accounts"]) for k, f in figures.items()}),
        network=_listed({name: _flags(f["network"], "") for name, f in figures.items()}),
    )


COPIED = ("pairs_min", "pairs_max", "pairs_learned_max", "reference_min", "reference_max")


def _table(first: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [f"| {first} | {HEAD}", "|---" * (first.count("|") + 1 + len(KINDS)) + "|"]
    for name, f in rows.items():
        cells = [f"{f[f'{k}_mean']:.3f} ± {f[f'{k}_sd']:.3f}" for k in KINDS]
        for i, kind in enumerate(KINDS[:2]):
            error = f.get(f"{kind}_bootstrap_se")
            cells[i] += "" if error is None else f" (bootstrap ± {error:.3f})"
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _silent(counts: Mapping[str, int]) -> str:
    return f"{counts['licit']} licit and {counts['illicit']} illicit"


def _near(f: Mapping[str, Any]) -> str:
    return f"{f['auc_of_contemporaries_mean']:.3f} instead of {f['auc_mean']:.3f}"


def _flags(f: Mapping[str, Any], mean: str = "_mean") -> str:
    rate, recall, auc = (f[f"{k}{mean}"] for k in ("false_positive_rate", "recall", "auc"))
    return f"{100 * rate:.1f}% of honest accounts at recall {recall:.3f}, AUC {auc:.3f}"


def _listed(told: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {text}" for name, text in told.items())
