"""The state machine: only listed edges, and what each one books."""

from itertools import product

import pytest

from settlement.errors import InvariantBroken
from settlement.ledger import journal
from settlement.ledger.accounts import Account
from settlement.ledger.entry import Entry, EntryState
from settlement.order import FINAL, HoldReason, Status
from settlement.pipeline import STAGES, TICKS
from settlement.transitions import CANCELABLE, EXITS, ON_RAMP, move, void
from tests.spec.strategies import DUSD, NOW, USD, an_order


@pytest.mark.parametrize(
    ("start", "to"),
    [(a, b) for a, b in product(Status, Status) if b not in ON_RAMP[a]],
)
def test_refuses_every_edge_that_is_not_listed(start, to):
    """Moving along an unlisted edge is our own bug and stops there."""
    with pytest.raises(InvariantBroken):
        move(an_order(start), to, NOW)


@pytest.mark.parametrize("exit_to", [s for s in Status if s not in EXITS])
def test_refuses_to_void_towards_anything_but_an_exit(exit_to):
    """Voiding ends in expired, canceled or rejected."""
    with pytest.raises(InvariantBroken):
        void(an_order(), exit_to, "x", NOW)


@pytest.mark.parametrize(("debit", "amount"), [(Account.VAULT, 1), (Account.STRIPE, 0)])
def test_refuses_entries_that_move_nothing(debit, amount):
    """An entry has two different accounts and a positive amount."""
    with pytest.raises(InvariantBroken):
        Entry(debit, Account.VAULT, USD, amount)


def test_no_final_status_has_a_way_on_but_a_refund_that_came_back():
    """The table and the list of final statuses say the same."""
    ends = {status for status, edges in ON_RAMP.items() if edges <= {Status.REFUND_FAILED}}
    assert ends == set(FINAL)
    assert [status for status in FINAL if ON_RAMP[status]] == [Status.REFUNDED]


def test_every_status_that_is_not_final_has_a_stage_that_runs():
    """No order can be left where nothing looks at it."""
    assert set(STAGES) == set(Status) - set(FINAL)
    assert set(STAGES.values()) <= set(TICKS)


def test_every_status_can_be_reached_and_can_reach_an_end():
    """No island and no dead end in the table."""
    reached = {Status.AWAITING_PAYMENT}
    for _ in Status:
        reached |= {edge for status in reached for edge in ON_RAMP[status]}
    assert reached == set(Status)
    for status in Status:
        ends = {status}
        for _ in Status:
            ends |= {edge for s in ends for edge in ON_RAMP[s]}
        assert ends & set(FINAL)


def test_nothing_captured_can_be_canceled_by_the_customer():
    """Cancel ends where the capture is announced."""
    assert Status.CAPTURING not in CANCELABLE
    assert {Status.CLEARED, Status.CAPTURING, Status.CAPTURED}.isdisjoint(CANCELABLE)


def test_a_move_lets_go_of_the_hold_and_of_the_attempts():
    """A hold belongs to the status that it was found in."""
    held = an_order(Status.CLEARED, hold_reason=HoldReason.LIQUIDITY, attempts=5)
    change = move(held, Status.CAPTURING, NOW)
    assert change.patch == {"attempts": 0, "hold_reason": HoldReason.NONE}
    assert change.events[0].type == "order.capturing"


def _net(bookings, pending_too=False):
    """Debits minus credits per account and asset, after posts and voids."""
    open_entries: dict[str, list[Entry]] = {}
    totals: dict[tuple[str, str], int] = {}

    def post(entry):
        for account, sign in ((entry.debit, 1), (entry.credit, -1)):
            key = (account, entry.asset.id)
            totals[key] = totals.get(key, 0) + sign * entry.amount_minor

    for booking in bookings:
        for name in booking.voids:
            open_entries.pop(name, None)
        for name in booking.posts:
            for entry in open_entries.pop(name, []):
                post(entry)
        for entry in booking.entries:
            if entry.state is EntryState.PENDING:
                open_entries.setdefault(booking.event, []).append(entry)
            else:
                post(entry)
    assert pending_too or not open_entries
    return {key: value for key, value in totals.items() if value}


def test_a_completed_order_leaves_fees_position_and_inventory():
    """The customer's claim is gone; every line of the quote is in its own account."""
    order = an_order()
    steps = (journal.authorized, journal.reserved, journal.captured, journal.completed)
    net = _net([step(order) for step in steps])
    assert net == {
        (Account.STRIPE, "USD"): 10_000,
        (Account.PROCESSING_FEES, "USD"): -320,
        (Account.NETWORK_FEES, "USD"): -36,
        (Account.SPREAD, "USD"): -49,
        (Account.POSITION, "USD"): -9_595,
        (Account.POSITION, DUSD.id): 95_950_000,
        (Account.VAULT, DUSD.id): -95_950_000,
    }


@pytest.mark.parametrize(
    "steps",
    [
        (journal.authorized, journal.voided),
        (journal.authorized, journal.reserved, journal.unreserved, journal.voided),
        (
            journal.authorized,
            journal.reserved,
            journal.captured,
            journal.unreserved,
            journal.refunded,
        ),
        (journal.captured_outside, journal.refunded),
    ],
)
def test_every_way_out_leaves_the_books_as_they_were(steps):
    """Voided, released or refunded: nothing remains on any account."""
    assert _net([step(an_order()) for step in steps]) == {}
