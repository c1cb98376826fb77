"""The only door: implements ``settlement.ports.screening``."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from compliance_graph.lists import ListBook, Lists
from compliance_graph.lists.addresses import normal_form
from compliance_graph.lists.book import is_vetoed
from compliance_graph.lists.lookalike import Ends
from settlement.ids import TenantId
from settlement.ports.clock import Clock, SystemClock
from settlement.ports.lists import Action, Listing, ListSource, WalletHistory
from settlement.ports.screening import Outcome, Reason, Subject, Verdict


class ListScreener:
    """Judges wallets by address lists alone."""

    def __init__(
        self,
        paths: Sequence[Path],
        source: ListSource | None = None,
        history: WalletHistory | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._lists = Lists(paths, source)
        self._history = history
        self._clock = clock or SystemClock()

    async def book(self) -> ListBook:
        """Raises :class:`~settlement.errors.ScreeningUnavailable`."""
        return await self._lists.book()

    async def screen(self, subject: Subject) -> Verdict:
        book, now = await self._lists.book(), self._clock.now()
        found = book.of(subject.network, subject.wallet, now, subject.tenant_id)
        doubts = await self._doubts(book, subject)
        outcome, reasons = judge(found, doubts)
        evidence = {
            "listings": [list(astuple(listing)) for listing in found],
            "doubts": [[doubt.code, doubt.detail] for doubt in doubts],
        }
        versions = book.versions(subject.tenant_id)
        return Verdict(outcome, reasons, versions, evidence=evidence)

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


def judge(found: Sequence[Listing], doubts: Sequence[Reason]) -> tuple[Outcome, tuple[Reason, ...]]:
    """A veto counts before all; whoever is allowed is spared the rest."""
    by_action = {
        action: tuple(_reason(listing) for listing in found if listing.action is action)
        for action in Action
    }
    if by_action[Action.BLOCK]:
        return Outcome.BLOCK, by_action[Action.BLOCK]
    if by_action[Action.ALLOW]:
        return Outcome.CLEAR, by_action[Action.ALLOW]
    asked = (*by_action[Action.REVIEW], *doubts)
    return (Outcome.REVIEW, asked) if asked else (Outcome.CLEAR, ())


def judged_again(evidence: Mapping[str, Any], versions: Mapping[str, str]) -> Verdict:
    """The verdict that follows from the evidence of an earlier one."""
    found = [Listing(row[0], Action(row[1]), *row[2:]) for row in evidence["listings"]]
    doubts = tuple(Reason(code, detail) for code, detail in evidence["doubts"])
    outcome, reasons = judge(found, doubts)
    return Verdict(outcome, reasons, versions, evidence=evidence)


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
