"""The only door: implements ``settlement.ports.screening``.

An officer's allowance spares a wallet reviews for as much as one officer may approve alone; for
more it stands among the reasons and decides nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

from compliance_graph.lists import ListBook, Lists
from compliance_graph.lists.addresses import normal_form
from compliance_graph.lists.book import is_vetoed
from compliance_graph.lists.lookalike import Ends
from settlement.ids import TenantId
from settlement.money import Money
from settlement.ports.clock import Clock, SystemClock
from settlement.ports.lists import Action, Listing, ListSource, WalletHistory
from settlement.ports.notification import Log
from settlement.ports.screening import HALF_PPM, NONE, Outcome, Reason, Subject, Verdict

ALONE = {"policy": NONE, "model": NONE}
"""The versions of what is not there where lists speak alone."""


class ListScreener:
    """Judges wallets by address lists alone. ``allow_up_to``: per currency code the most, in minor
    units, that an allow list spares a review; of a currency that is not named, nothing."""

    def __init__(
        self,
        paths: Sequence[Path],
        source: ListSource | None = None,
        history: WalletHistory | None = None,
        clock: Clock | None = None,
        *,
        allow_up_to: Mapping[str, int] | None = None,
        log: Log | None = None,
    ) -> None:
        self._lists = Lists(paths, source, log)
        self._history = history
        self._clock = clock or SystemClock()
        self._allow_up_to = dict(allow_up_to or {})

    async def book(self) -> ListBook:
        """Raises :class:`~settlement.errors.ScreeningUnavailable`."""
        return await self._lists.book()

    async def screen(self, subject: Subject) -> Verdict:
        """By lists alone: no source of transfers, policy or model has a part in it."""
        verdict = await self.listed(subject)
        return replace(verdict, versions={**verdict.versions, **ALONE}, coverage={"sources": []})

    async def listed(self, subject: Subject) -> Verdict:
        """What lists say, for whoever asks others, too."""
        book, now = await self._lists.book(), self._clock.now()
        found = book.of(subject.network, subject.wallet, now, subject.tenant_id)
        doubts = await self._doubts(book, subject)
        spares = self._allowance_spares(subject.amount)
        outcome, reasons = judge(found, doubts, spares)
        evidence: dict[str, Any] = {
            "listings": [list(astuple(listing)) for listing in found],
            "doubts": [[doubt.code, doubt.detail] for doubt in doubts],
        }
        if not spares and any(listing.action is Action.ALLOW for listing in found):
            evidence["allowance_spares"] = False
        versions = book.versions(subject.tenant_id)
        return _verdict(outcome, reasons, versions, {}, evidence)

    def _allowance_spares(self, amount: Money | None) -> bool:
        if amount is None:
            return False
        return amount.amount_minor <= self._allow_up_to.get(amount.asset.code, -1)

    async def _doubts(self, book: ListBook, subject: Subject) -> tuple[Reason, ...]:
        """Whom the address could be mistaken for. One that was paid before is nobody's double."""
        used: Sequence[str] = ()
        if self._history is not None and subject.customer is not None:
            used = await self._history.used_wallets(subject.tenant_id, subject.customer)
        known = [normal_form(wallet) for wallet in used]
        address = normal_form(subject.wallet)
        if address in known:
            return ()
        doubles = {
            "lookalike.listed": book.resembled(address),
            "lookalike.used": Ends(known).resembled(address),
        }
        return tuple(
            Reason(code, f"could be mistaken for {other}")
            for code, others in doubles.items()
            for other in others
        )

    async def vetoed(
        self, network: str, wallets: Sequence[str], tenant_id: TenantId
    ) -> frozenset[str]:
        book, now = await self._lists.book(), self._clock.now()
        return frozenset(w for w in wallets if is_vetoed(book.of(network, w, now, tenant_id)))


def judge(
    found: Sequence[Listing], doubts: Sequence[Reason], allowance_spares: bool = True
) -> tuple[Outcome, tuple[Reason, ...]]:
    """A veto counts before all; whoever is allowed is spared the rest, unless too much is paid."""
    by_action = {
        action: tuple(_reason(listing) for listing in found if listing.action is action)
        for action in Action
    }
    if by_action[Action.BLOCK]:
        return Outcome.BLOCK, by_action[Action.BLOCK]
    allowed, asked = by_action[Action.ALLOW], (*by_action[Action.REVIEW], *doubts)
    if (allowed and allowance_spares) or not asked:
        return Outcome.CLEAR, allowed
    return Outcome.REVIEW, (*allowed, *asked)


def judged_again(
    evidence: Mapping[str, Any], versions: Mapping[str, str], coverage: Mapping[str, Any]
) -> Verdict:
    """The verdict that follows from the evidence of an earlier one."""
    found = [Listing(row[0], Action(row[1]), *row[2:]) for row in evidence["listings"]]
    doubts = tuple(Reason(code, detail) for code, detail in evidence["doubts"])
    outcome, reasons = judge(found, doubts, evidence.get("allowance_spares", True))
    return _verdict(outcome, reasons, versions, coverage, evidence)


def _verdict(
    outcome: Outcome,
    reasons: tuple[Reason, ...],
    versions: Mapping[str, str],
    coverage: Mapping[str, Any],
    evidence: Mapping[str, Any],
) -> Verdict:
    risk_ppm = HALF_PPM if outcome is Outcome.REVIEW else None
    return Verdict(outcome, reasons, versions, None, coverage, evidence, risk_ppm)


_VERBS = {
    Action.BLOCK: "names",
    Action.REVIEW: "asks for a review of",
    Action.ALLOW: "allows",
    Action.LABEL: "knows",
}


def _reason(listing: Listing) -> Reason:
    who = f" ({listing.name})" if listing.name else ""
    text = f"the list {listing.source} {_VERBS[listing.action]} this address{who}"
    return Reason(f"list.{listing.source}", text)
