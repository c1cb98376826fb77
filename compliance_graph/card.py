"""The model card, written with the figures of the training that it describes."""

from collections.abc import Mapping
from math import exp
from typing import Any

TEMPLATE = """# Model card: wallet screening

**What it is.** Boosted trees over the transfer graph around an account, in two views: *ego* (the
account's own rhythm, order and counterparties' ages) and *context* (everything within one hop, as
ranks among the accounts of the same source). The score is the lower of the two.
{bag}.
No amounts, no absolute time, no labels of neighbours. Served by onnxruntime; a changed byte
refuses to load.

**Intended use.** To pick wallets for review by a compliance officer, beside lists and rules. **The
model alone never refuses anybody; it only sends to review.** Not for decisions without a person,
not for accounts with fewer than {pairs_min} counterparties or more than {pairs_max} (it abstains:
no account that it learned from has more than 1,874), not for contracts or exchanges.

**Data.** Labelled training parts of two public sets of Ethereum accounts: T-EDGE (890 labelled
accounts, one row per pair of accounts) and TSGN (2,100 labelled accounts, single transfers,
2015 to 2019), both from XBlock; an account in both is taken once. Learned from {licit} licit and
{illicit} illicit (phishing) accounts. Neither source states a licence: the data are not part of
this repository, only numbers learned from them are.

**How it was judged.** Trained on one source alone, judged on the other's labelled accounts that are
not in the first; mean of {seeds} seeds, deviation over the seeds, bootstrap error over accounts.

| trained on, judged on | accounts | honest flagged | recall | precision | AUC | average precision |
|---|---|---|---|---|---|---|
{rows}

Review begins at log-odds {limit}, a calibrated probability of {review:.3f}. The limit was chosen
with both crossings in view; on a third source expect somewhat more honest accounts flagged.
Calibration weighs illicit and honest accounts alike, as if every second account were illicit:
among customers far fewer are, so read the probability as a rank, not as a frequency.

**Known bias.**
- Licit accounts of both sources are older and richer than the illicit ones; amounts and dates are
  left out for that reason, and rhythm still carries some of it: among accounts first seen within 30
  days of each other all models of this family lose two to five hundredths of AUC.
- "Illicit" means phishing as reported by 2019. Laundering, ransom, later drainer contracts and
  other chains were never seen; rules and lists stand for them.
- The sources hold whole lives, a screening sees beginnings.
- *context* is ranked among the labelled accounts of the judged source in the table above. A
  deployment has no such list: it ranks among 800 of its graph's accounts with 20 counterparties or
  more. With that reference a sister of this model flagged 1.8% at recall .41 (T-EDGE to TSGN) and
  5.9% at recall .74 (TSGN to T-EDGE), one seed. With fewer than 200 such accounts the training
  accounts are the reference, and more honest accounts are flagged (2.7% and 7.6%).
- The graph network has no vote. Within one source it is as good as the trees; across sources it
  flagged 4% (T-EDGE to TSGN) and 35% (TSGN to T-EDGE) of honest accounts at log-odds 2 (one seed,
  AUC .885 and .792). It is shipped as a second opinion, told to the officer in the explanation.
"""


def card(about: Mapping[str, Any]) -> str:
    """Markdown."""
    rows = []
    for crossing, f in about["figures"].items():
        cells = [f"{f[f'{k}_mean']:.3f} ± {f[f'{k}_sd']:.3f}" for k in KINDS]
        error = f["false_positive_rate_bootstrap_se"]
        cells[0] += f" (bootstrap ± {error:.3f})"
        rows.append(f"| {crossing} | {f['accounts_evaluated']} | " + " | ".join(cells) + " |")
    scale = about["calibration"]
    limit = about["review_log_odds"]
    return TEMPLATE.format(
        bag="Three bagged forests of 250 small trees each",
        rows="\n".join(rows),
        seeds=next(iter(about["figures"].values()))["seeds"],
        limit=limit,
        review=1 / (1 + exp(-(scale["slope"] * limit + scale["offset"]))),
        pairs_min=about["pairs_min"],
        pairs_max=about["pairs_max"],
        **about["accounts"],
    )


KINDS = ("false_positive_rate", "recall", "precision", "auc", "average_precision")
