"""From everything that is known to a verdict: a pure function, so that it can be made again.

Order of weight: a veto list blocks; an officer's allow list clears, up to a limit and never a
wallet that is exposed to sanctioned ones; a list, a rule or the model may ask for a review. The
model alone never refuses. Where nothing can be said for lack of history or of
answers (an abstention), the wallet is cleared up to the tenant's limit and reviewed above it: a
fresh wallet is the normal customer. Before what an order has paid into an escrow leaves it, an
abstention about the wallet itself is not asked about again: the order answered for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from compliance_graph.policy import SANCTIONED, Policy
from compliance_graph.rules.findings import PPM, Finding
from settlement.ids import TenantId
from settlement.money import Asset, Money
from settlement.ports.screening import HALF_PPM, Outcome, Reason, Unscored, Verdict


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """``probability_ppm`` is ``None`` where the model ``abstained``, and that says why. ``review``:
    the model's own threshold, chosen when it was trained, is passed. ``asked`` is what it read, as
    :mod:`compliance_graph.rescoring` writes it; ``None`` in evidence from before it was kept."""

    probability_ppm: int | None
    abstained: str | None
    version: str
    review: bool = False
    asked: str | None = None

    def as_json(self) -> dict[str, Any]:
        found = {name: getattr(self, name) for name in _ANSWER}
        return found if self.asked is None else {**found, "asked": self.asked}


_ANSWER = ("probability_ppm", "abstained", "version", "review")


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a verdict is made from; kept with it as its evidence.

    ``listed`` and ``list_reasons`` are the lists' own verdict: cleared *with* a reason means that
    an allow list names the wallet; ``allowance_spares`` is false where that is not enough, since
    more is paid than one officer may approve alone. ``abstained`` says why the graph could not be
    asked in full (``None``: it could). ``answer`` is ``None`` where no model is deployed.
    ``unscored`` is what was cleared unscored before; asked only where it decides. ``counted``: the
    order was judged by all of it before its money was taken.
    ``explanation`` says what moved the model, for the officer: no verdict depends on it.
    """

    tenant_id: TenantId
    amount: Money | None
    listed: Outcome
    list_reasons: tuple[Reason, ...]
    list_versions: Mapping[str, str]
    findings: tuple[Finding, ...] = ()
    answer: ModelAnswer | None = None
    abstained: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    coverage: Mapping[str, Any] = field(default_factory=dict)
    explanation: Mapping[str, Any] | None = None
    allowance_spares: bool = True
    unscored: Unscored | None = None
    counted: bool = False

    def as_json(self) -> dict[str, Any]:
        amount, answer = self.amount, self.answer
        return {
            "tenant_id": self.tenant_id,
            "amount": amount
            and {
                "amount_minor": str(amount.amount_minor),
                "code": amount.asset.code,
                "scale": amount.asset.scale,
            },
            "listed": self.listed.value,
            "list_reasons": [[reason.code, reason.detail] for reason in self.list_reasons],
            "list_versions": dict(self.list_versions),
            "findings": [finding.as_json() for finding in self.findings],
            "answer": answer and answer.as_json(),
            "abstained": self.abstained,
            "versions": dict(self.versions),
            "explanation": storable(self.explanation),
            # Older evidence lacks it, and has to come out again as it was.
            **({} if self.allowance_spares else {"allowance_spares": False}),
            **({} if self.unscored is None else {"unscored": _amounts(self.unscored)}),
            **({"counted": True} if self.counted else {}),
        }

    @staticmethod
    def from_json(stored: Mapping[str, Any], coverage: Mapping[str, Any]) -> "Facts":
        """From a verdict's ``evidence`` and ``coverage``."""
        amount, answer = stored["amount"], stored["answer"]
        return Facts(
            tenant_id=TenantId(stored["tenant_id"]),
            amount=amount
            and Money(int(amount["amount_minor"]), Asset(amount["code"], amount["scale"])),
            listed=Outcome(stored["listed"]),
            list_reasons=tuple(Reason(code, detail) for code, detail in stored["list_reasons"]),
            list_versions=stored["list_versions"],
            findings=tuple(Finding.from_json(finding) for finding in stored["findings"]),
            answer=answer and ModelAnswer(**answer),
            abstained=stored["abstained"],
            versions=stored["versions"],
            coverage=coverage,
            explanation=stored["explanation"],
            allowance_spares=stored.get("allowance_spares", True),
            unscored=_unscored(stored.get("unscored")),
            counted=stored.get("counted", False),
        )


def _amounts(unscored: Unscored) -> dict[str, str]:
    return {
        "customer_minor": str(unscored.customer_minor),
        "wallet_minor": str(unscored.wallet_minor),
    }


def _unscored(stored: Mapping[str, str] | None) -> Unscored | None:
    if stored is None:
        return None
    return Unscored(**{name: int(text) for name, text in stored.items()})


def storable(value: Any) -> Any:
    """JSON whose numbers come back from a database as they went in: no minus zero, no whole
    number in the coat of a float."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {name: storable(item) for name, item in value.items()}
    return [storable(item) for item in value] if isinstance(value, list | tuple) else value


def assess(facts: Facts, policy: Policy) -> Verdict:
    """The verdict on these facts by this policy, the same every time."""
    outcome, reasons = _judged(facts, policy)
    answer = facts.answer
    versions = {**facts.list_versions, **facts.versions, "policy": policy.version}
    if answer is not None:
        versions["model"] = answer.version
    score_ppm = None if answer is None else answer.probability_ppm
    risk_ppm = _risk_ppm(facts, policy, reasons) if outcome is Outcome.REVIEW else None
    evidence = facts.as_json()
    return Verdict(outcome, reasons, versions, score_ppm, facts.coverage, evidence, risk_ppm)


def _judged(facts: Facts, policy: Policy) -> tuple[Outcome, tuple[Reason, ...]]:
    if facts.listed is Outcome.BLOCK:
        return Outcome.BLOCK, facts.list_reasons
    listed = facts.list_reasons
    if facts.listed is Outcome.CLEAR and listed and facts.allowance_spares:
        sanctioned = tuple(_reason(finding) for finding in facts.findings if _sanctioned(finding))
        return (Outcome.REVIEW if sanctioned else Outcome.CLEAR), (*listed, *sanctioned)
    doubts = _doubts(facts, policy)
    if doubts or facts.listed is Outcome.REVIEW:
        return Outcome.REVIEW, (*listed, *doubts)
    silence = _silence(facts)
    if silence is None:
        return Outcome.CLEAR, listed
    if not _answered(facts) and not policy.within_limit(facts.tenant_id, facts.amount):
        above = Reason(silence.code, f"{silence.detail}, and more is paid than goes unlooked at")
        return Outcome.REVIEW, (*listed, above)
    over = _over_window(facts, policy)
    return (Outcome.REVIEW if over else Outcome.CLEAR), (*listed, silence, *over)


def decided_by_silence(facts: Facts, policy: Policy) -> bool:
    """Whether the wallet is cleared although nothing can be said: what was before then counts."""
    outcome, reasons = _judged(facts, policy)
    silence = _silence(facts)
    return outcome is Outcome.CLEAR and silence is not None and silence in reasons


def _over_window(facts: Facts, policy: Policy) -> tuple[Reason, ...]:
    """By whom, or to whom, too much would go unlooked at within the window."""
    if facts.unscored is None or facts.amount is None:
        return ()
    sums = {
        "customer": (facts.unscored.customer_minor, "this customer's orders"),
        "wallet": (facts.unscored.wallet_minor, "orders to this wallet"),
    }
    return tuple(
        Reason(
            f"unscored.{who}",
            f"{whose} of the last {policy.window_days} days come to more than goes unlooked at",
        )
        for who, (before_minor, whose) in sums.items()
        if not policy.within_window(facts.tenant_id, facts.amount, before_minor)
    )


def _sanctioned(finding: Finding) -> bool:
    return finding.severity == "review" and finding.code.startswith(f"exposure.{SANCTIONED}.")


def _reason(finding: Finding) -> Reason:
    return Reason(finding.code, finding.detail)


def _doubts(facts: Facts, policy: Policy) -> list[Reason]:
    """What rules and model ask a review for."""
    doubts = [_reason(finding) for finding in facts.findings if finding.severity == "review"]
    notes = {f.code: f for f in facts.findings if f.severity == "note"}
    if len(notes) >= policy.notes_for_review or doubts:
        doubts += map(_reason, notes.values())
    if facts.answer is not None and facts.answer.review:
        score_ppm = facts.answer.probability_ppm or 0
        detail = f"an account that behaves like this one is illicit with {score_ppm / PPM:.1%}"
        doubts.append(Reason("model.score", detail))
    return doubts


def _risk_ppm(facts: Facts, policy: Policy, reasons: tuple[Reason, ...]) -> int:
    """For the officers' queue: the greatest of the score, the shares that rules asked a review
    for, and a half where a list, a rule without a share, several notes or a silence asked."""
    asked = {reason.code for reason in reasons}
    found = [finding for finding in facts.findings if finding.code in asked]
    risks = [0 if facts.answer is None else facts.answer.probability_ppm or 0]
    risks += [f.share_ppm or HALF_PPM for f in found if f.severity == "review"]
    notes = {finding.code for finding in found if finding.severity == "note"}
    silent = any(code.startswith(("abstained.", "unscored.")) for code in asked)
    if facts.listed is Outcome.REVIEW or silent or len(notes) >= policy.notes_for_review:
        risks.append(HALF_PPM)
    return max(risks)


def _silence(facts: Facts) -> Reason | None:
    """Why nothing can be said, if so."""
    if facts.abstained is not None:
        return Reason(f"abstained.{facts.abstained}", _SILENCES[facts.abstained])
    if facts.answer is None:
        return Reason("abstained.no_model", "no model is deployed")
    if facts.answer.abstained is not None:
        return Reason("abstained.model", f"the model abstained: {facts.answer.abstained}")
    return None


def _answered(facts: Facts) -> bool:
    """Whether the silence was answered for before, within the limit or by an officer. One that
    passes is waited for."""
    return facts.counted and facts.abstained not in _PASSING


UNKNOWN, STALE, INCOMPLETE, INDEXER = "unknown", "stale", "incomplete", "indexer"
_PASSING = frozenset({STALE, INCOMPLETE, INDEXER})
_SILENCES = {
    UNKNOWN: "no source has seen this wallet",
    STALE: "the transfer graph has not been read lately",
    INCOMPLETE: "the wallet's chain has not been read up to its newest block yet",
    INDEXER: "the indexer did not answer in time about this wallet",
}
