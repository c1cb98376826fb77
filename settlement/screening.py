"""Judging every address that an order may pay: its wallet, and the parties of its escrow.

The port judges one address at a time, so that every screener judges all of them alike.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from settlement.order import Order
from settlement.ports.screening import Outcome, Reason, ScreeningPort, Subject, Verdict

BY_ADDRESS = "by_address"
"""Under this member are coverage and evidence of an order that may pay several addresses."""

_SEVERITY = (Outcome.BLOCK, Outcome.REVIEW, Outcome.CLEAR)


async def judge_each(
    screening: ScreeningPort, order: Order, addresses: Collection[str]
) -> dict[str, Verdict]:
    """A verdict per address, as if the order were for it alone.

    Raises :class:`~settlement.errors.ScreeningUnavailable`: then none is judged.
    """
    subject = Subject.of(order)
    return {
        address: await screening.screen(replace(subject, wallet=address))
        for address in sorted(addresses)
    }


async def judge(screening: ScreeningPort, order: Order) -> Verdict:
    """The verdict on the order: the worst of all its addresses."""
    if not order.parties:
        return await screening.screen(Subject.of(order))
    return worst(order, await judge_each(screening, order, order.screened))


def worst(order: Order, verdicts: Mapping[str, Verdict]) -> Verdict:
    """The worst outcome with all its reasons; a reason about a party names the address.

    The score is the highest, of whichever address; coverage and evidence are kept per address.
    """
    outcome = min((v.outcome for v in verdicts.values()), key=_SEVERITY.index)
    reasons = [
        reason if address == order.wallet else Reason(reason.code, f"{address}: {reason.detail}")
        for address, verdict in verdicts.items()
        for reason in verdict.reasons
        if verdict.outcome is outcome
    ]
    versions = {name: text for v in verdicts.values() for name, text in v.versions.items()}
    scores = [v.score_ppm for v in verdicts.values() if v.score_ppm is not None]
    return Verdict(
        outcome,
        tuple(reasons),
        versions,
        max(scores, default=None),
        {BY_ADDRESS: {address: v.coverage for address, v in verdicts.items()}},
        {BY_ADDRESS: {address: v.evidence for address, v in verdicts.items()}},
    )


def is_vetoed(order: Order, vetoed: frozenset[str]) -> bool:
    """Whether a list names any of the order's addresses."""
    return not vetoed.isdisjoint(order.screened)


def all_screened(orders: Sequence[Order]) -> list[str]:
    """Every address of ``orders``, for one look at the lists."""
    return [address for order in orders for address in order.screened]
