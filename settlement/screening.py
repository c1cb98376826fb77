"""Judging every address that an order may pay: its wallet, and the parties of its escrow.

The port judges one address at a time, so that every screener judges all of them alike. What an
officer approved about an address in the order's case is spared it when it is judged again.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from settlement.ids import OrderId, TenantId
from settlement.order import Order
from settlement.ports.screening import (
    Outcome,
    Reason,
    Scope,
    ScreeningPort,
    Subject,
    Verdict,
)

BY_ADDRESS = "by_address"
"""Under this member are coverage and evidence of an order that may pay several addresses."""

_SEVERITY = (Outcome.BLOCK, Outcome.REVIEW, Outcome.CLEAR)


async def judge_each(
    screening: ScreeningPort,
    order: Order,
    addresses: Collection[str],
    scope: Scope = Scope.ALL,
) -> dict[str, Verdict]:
    """A verdict per address, as if the order were for it alone.

    Raises :class:`~settlement.errors.ScreeningUnavailable`: then none is judged.
    """
    subject = replace(Subject.of(order), scope=scope)
    return {
        address: await screening.screen(replace(subject, wallet=address))
        for address in sorted(addresses)
    }


async def judge(screening: ScreeningPort, order: Order) -> Verdict:
    """The verdict on the order: the worst of all its addresses. An escrow's purse is our own: only
    lists could say anything about it."""
    if not order.parties:
        return await screening.screen(Subject.of(order))
    verdicts = await judge_each(screening, order, order.parties)
    verdicts |= await judge_each(screening, order, [order.wallet], Scope.LISTS)
    return worst(order.wallet, verdicts)


def worst(wallet: str, verdicts: Mapping[str, Verdict]) -> Verdict:
    """The worst outcome with all its reasons; a reason about a party names the address.

    Score and risk are the highest, of whichever address; coverage and evidence are kept per
    address.
    """
    outcome = min((v.outcome for v in verdicts.values()), key=_SEVERITY.index)
    reasons = [
        reason if address == wallet else Reason(reason.code, _named(address) + reason.detail)
        for address, verdict in verdicts.items()
        for reason in verdict.reasons
        if verdict.outcome is outcome
    ]
    versions = {name: text for v in verdicts.values() for name, text in v.versions.items()}
    scores = [v.score_ppm for v in verdicts.values() if v.score_ppm is not None]
    risks = [v.risk_ppm for v in verdicts.values() if v.risk_ppm is not None]
    return Verdict(
        outcome,
        tuple(reasons),
        versions,
        max(scores, default=None),
        {BY_ADDRESS: {address: v.coverage for address, v in verdicts.items()}},
        {BY_ADDRESS: {address: v.evidence for address, v in verdicts.items()}},
        max(risks) if risks and outcome is Outcome.REVIEW else None,
    )


def reasons_about(address: str, reasons: Sequence[Reason]) -> tuple[Reason, ...]:
    """Those of :func:`worst`'s reasons that are about this party, as they were judged."""
    name = _named(address)
    return tuple(
        Reason(reason.code, reason.detail.removeprefix(name))
        for reason in reasons
        if reason.detail.startswith(name)
    )


def _named(address: str) -> str:
    """How a reason about a party begins."""
    return f"{address}: "


def spared(verdicts: Mapping[str, Verdict], approved: Sequence[Reason]) -> dict[str, Verdict]:
    """To be decided by, not to be stored: each review with the reasons that nobody has approved.

    ``approved`` are the reasons of the order's approved case. Who has nothing new is clear; a block
    stays one. Codes count: the numbers in the sentences change with every block.
    """
    return {
        address: _spared(verdict, {reason.code for reason in reasons_about(address, approved)})
        for address, verdict in verdicts.items()
    }


def _spared(verdict: Verdict, codes: Collection[str]) -> Verdict:
    if verdict.outcome is not Outcome.REVIEW or not verdict.reasons:
        return verdict
    new = tuple(reason for reason in verdict.reasons if reason.code not in codes)
    return replace(verdict, outcome=Outcome.REVIEW if new else Outcome.CLEAR, reasons=new)


async def vetoed_orders(screening: ScreeningPort, orders: Sequence[Order]) -> frozenset[OrderId]:
    """The orders of which a list names an address by now.

    Raises :class:`~settlement.errors.ScreeningUnavailable`.
    """
    books: dict[tuple[TenantId, str], list[Order]] = defaultdict(list)
    for order in orders:
        books[order.tenant_id, order.network].append(order)
    found: set[OrderId] = set()
    for (tenant_id, network), members in books.items():
        addresses = [address for order in members for address in order.screened]
        named = await screening.vetoed(network, addresses, tenant_id)
        found.update(order.id for order in members if not named.isdisjoint(order.screened))
    return frozenset(found)
