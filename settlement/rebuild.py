"""After a restored backup: what the chain and the provider say, and the way there. Pure.

Nothing is guessed. Which orders a batch paid is proven by its Merkle root, which the vault holds;
and an order reaches its true status along the same edges, with the same bookings, as if the
stages had taken it there.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from settlement.errors import InvariantBroken
from settlement.events import DISPUTED, Event
from settlement.ledger import journal
from settlement.ledger.entry import Booking
from settlement.order import HoldReason, Order, Status
from settlement.ports.chain import PaidBatch
from settlement.ports.payment import Intent
from settlement.ports.screening import Outcome, Verdict
from settlement.transitions import Change, move, stay

REBUILT = "order.rebuilt"
"""The fact in an order's history that it was written down again."""

ASSIGNMENTS_MAX = 20_000
"""How many ways to tell equal rows of one batch apart are tried before a person has to: minutes, at
some milliseconds for the root of a full batch."""

_WAY = (
    Status.AWAITING_PAYMENT,
    Status.AUTHORIZED,
    Status.CLEARED,
    Status.CAPTURING,
    Status.CAPTURED,
    Status.SUBMITTED,
)
_UNPAID = frozenset({Status.CAPTURED, Status.SUBMITTED, Status.CONFIRMING})
_BEFORE_CAPTURE = frozenset(_WAY[:4]) | {Status.IN_REVIEW}
DONE = frozenset({Status.COMPLETED, Status.REFUND_PENDING, Status.REFUNDED, Status.REFUND_FAILED})


@dataclass(frozen=True, slots=True)
class Settled:
    """A final batch of the chain, and the orders that its root proves, by row."""

    paid: PaidBatch
    orders: tuple[Order, ...]


def assign(
    paid: PaidBatch, candidates: Sequence[Order], root_of: Callable[[Sequence[Order]], str]
) -> Settled:
    """The orders of the batch's rows, proven by its root.

    Raises :class:`~settlement.errors.InvariantBroken` when no way to place the candidates gives
    the root: an order is missing, or somebody else signed this batch. Equal rows (one wallet, one
    amount) hold their orders by id, as they were planned: so all are placed at once, whatever
    their number, unless there are more such orders than rows.
    """
    by_row: dict[tuple[str, int], list[Order]] = defaultdict(list)
    for order in candidates:
        if order.token.asset == paid.asset:
            by_row[(order.wallet, order.token.amount_minor)].append(order)
    for ways, placed in enumerate(_placements(paid, by_row)):
        if ways >= ASSIGNMENTS_MAX:
            raise InvariantBroken(_too_many(paid, by_row))
        if root_of(placed) == paid.root:
            return Settled(paid, tuple(placed))
    raise InvariantBroken(f"batch {paid.batch_id}: no orders that we know give its root")


def _too_many(paid: PaidBatch, by_row: dict[tuple[str, int], list[Order]]) -> str:
    """Which row it is about, and what a person can do."""
    rows = Counter(paid.rows)
    wallet, amount = max(rows, key=lambda row: len(by_row[row]) - rows[row])
    return (
        f"batch {paid.batch_id}: {len(by_row[wallet, amount])} orders of {amount} minor units to "
        f"{wallet} for {rows[wallet, amount]} of its rows; {ASSIGNMENTS_MAX} of their placings "
        "were tried in vain. Take the orders that surely were not in it out of the way (cancel "
        "them, or void their intents), then run it again"
    )


def _placements(
    paid: PaidBatch, by_row: dict[tuple[str, int], list[Order]]
) -> Iterator[list[Order]]:
    """Every way to give each row an order of its wallet and amount: those that we know to be in
    the batch and the oldest first, by id as they are planned, then in any other order."""
    places: dict[tuple[str, int], list[int]] = defaultdict(list)
    for index, row in enumerate(paid.rows):
        places[row].append(index)
    likely = {
        row: sorted(by_row[row], key=lambda order: (order.batch_id != paid.batch_id, order.id))
        for row in places
    }
    for ways in (_by_id, itertools.permutations):
        yield from _product(likely, places, ways)


Ways = Callable[[Sequence[Order], int], Iterator[tuple[Order, ...]]]
Row = tuple[str, int]


def _product(
    likely: dict[Row, list[Order]], places: dict[Row, list[int]], ways: Ways
) -> Iterator[list[Order]]:
    """Each way of every row beside each of all others; one at a time, since there are very many."""

    def rest(rows: list[Row]) -> Iterator[dict[int, Order]]:
        if not rows:
            yield {}
            return
        at = places[rows[0]]
        for chosen in ways(likely[rows[0]], len(at)):
            for others in rest(rows[1:]):
                yield {**others, **dict(zip(at, chosen, strict=True))}

    only = {at[0]: likely[row][0] for row, at in places.items() if len(likely[row]) == len(at) == 1}
    for placed in rest([row for row, at in places.items() if at[0] not in only]):
        whole = {**only, **placed}
        yield [whole[index] for index in range(len(whole))]


def _by_id(orders: Sequence[Order], count: int) -> Iterator[tuple[Order, ...]]:
    for chosen in itertools.combinations(orders, count):
        yield tuple(sorted(chosen, key=lambda order: order.id))


def is_consistent(order: Order, was_paid: bool) -> bool:
    """Whether what we have of the order can be brought to agree with the chain."""
    if order.status in DONE:
        return (order.status is Status.COMPLETED) == was_paid
    return order.status in (*_WAY, Status.IN_REVIEW, Status.CONFIRMING)


def step(order: Order, intent: Intent, settled: Settled | None, now: datetime) -> Change | None:
    """The next change on the order's way to what the world says, ``None`` when it is there.

    ``settled``: the final batch that holds the order, if any. Without one, an order whose money
    was captured is paid like any other, unless there is a reason to give the money back: then it
    ends in ``refund_pending``. Whether it may be ``cleared`` then, :func:`judged` says.
    """
    if settled is not None:
        return _towards_settled(order, intent, settled, now)
    if order.status in _BEFORE_CAPTURE:
        return _advance(order, intent, now)
    if order.status not in _UNPAID or order.batch_id is not None:
        return None
    reason = _why_not_pay(order, intent)
    if reason is not None:
        patch = {"reason": reason}
        return _move(order, Status.REFUND_PENDING, now, patch, (journal.unreserved(order),))
    if intent.disputed and order.hold_reason is not HoldReason.DISPUTED:
        hold = {"hold_reason": HoldReason.DISPUTED}
        return stay(order, now, patch=hold, events=(Event(DISPUTED),))
    return None


def judged(order: Order, verdict: Verdict, screening_id: str, now: datetime) -> Change:
    """What a verdict makes of an order whose money was taken while nobody here had cleared it: no
    review can wait beside captured money, so whatever is not clear is given back."""
    patch: dict[str, Any] = {"screening_id": screening_id}
    if verdict.outcome is Outcome.CLEAR:
        return _move(order, Status.CLEARED, now, patch)
    reason = verdict.reasons[0].code if verdict.reasons else "screening"
    patch |= {"exit_to": Status.REJECTED, "reason": reason}
    return _move(order, Status.VOIDING, now, patch)


def _why_not_pay(order: Order, intent: Intent) -> str | None:
    """As the stages would judge it: what was taken must be what was quoted, and still be ours."""
    if intent.refunded_minor > 0:
        return "refunded_outside"
    if (intent.received_minor, intent.currency) != (
        order.gross.amount_minor,
        order.gross.asset.code,
    ):
        return "amount_mismatch"
    if order.escrow_id is None and "escrow_id" in intent.facts:
        return "escrow_lost"  # nobody could be told any more to whom its purse pays
    return None


def _towards_settled(
    order: Order, intent: Intent, settled: Settled, now: datetime
) -> Change | None:
    if order.status in DONE:
        return None
    if order.status in _BEFORE_CAPTURE:
        return _advance(order, intent, now)
    index = [member.id for member in settled.orders].index(order.id)
    if order.batch_id is None:
        place = {"batch_id": settled.paid.batch_id, "batch_index": index}
        if order.status is Status.CAPTURED:
            return _move(order, Status.SUBMITTED, now, place)
        return stay(order, now, patch=place)  # its earlier batch ended without paying it
    if index in settled.paid.inclusion.skipped:
        patch = {"reason": "recipient_refused"}
        return _move(order, Status.REFUND_PENDING, now, patch, (journal.unreserved(order),))
    return _move(order, Status.COMPLETED, now, {}, (journal.completed(order),))


def _advance(order: Order, intent: Intent, now: datetime) -> Change:
    match order.status:
        case Status.AWAITING_PAYMENT:
            patch = {
                "payment_intent_id": intent.id,
                "charge_id": intent.charge_id,
                "authorized_at": intent.authorized_at,
                "capture_before": intent.capture_before,
            }
            return _move(order, Status.AUTHORIZED, now, patch, (journal.authorized(order),))
        case Status.AUTHORIZED | Status.IN_REVIEW:
            return _move(order, Status.CLEARED, now)
        case Status.CLEARED:
            return _move(order, Status.CAPTURING, now, {}, (journal.reserved(order),))
        case Status.CAPTURING:
            return _move(order, Status.CAPTURED, now, {}, (journal.captured(order),))
    raise InvariantBroken(f"{order.id}: {order.status} is not before its capture")


def _move(
    order: Order,
    to: Status,
    now: datetime,
    patch: dict[str, Any] | None = None,
    bookings: tuple[Booking, ...] = (),
) -> Change:
    values = {"hold_reason": HoldReason.NONE, **(patch or {})}
    fact = Event(REBUILT, {"to": to})
    return move(order, to, now, patch=values, bookings=bookings, events=(fact,))
