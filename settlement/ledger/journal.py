"""The journal: one table from event to bookings. What is not listed here moves no money.

====================  =======================================================================
authorized            pending: the card's hold, customer payable against Stripe
reserved              pending: tokens leave the vault against the position
captured              the hold becomes money (posts ``authorized``)
captured_outside      money came without a hold that we had recorded; it goes back
voided                the hold is released (voids ``authorized``)
unreserved            the tokens stay (voids ``reserved``)
completed             the tokens left (posts ``reserved``); payable becomes fees and position
refunded              the customer's money went back
refund_returned       the bank sent a refund back: we owe it again
refunded_outside      money went back although the tokens had left: our loss
loss_returned         such a refund came back
gas_spent             what a batch really paid for gas
advanced              a lane's own coins paid an order; the vault's are the platform's instead
treasury_funded       inventory or gas money arrived
treasury_returned     inventory of the platform that becomes a tenant's
chain_replaced        inventory of a chain instance that is gone
escrow_funded         a purse was filled: held for payer and payee, beside our own books
escrow_released       a part of it became the payee's
escrow_refunded       a part of it became the payer's again
escrow_lost           the chain that the purse was on is gone
====================  =======================================================================
"""

from collections.abc import Callable

from settlement.ledger.accounts import Account
from settlement.ledger.entry import Booking, Entry, EntryState
from settlement.money import Money
from settlement.order import Order
from settlement.quote import LineKind

INCOME = {
    LineKind.PRINCIPAL: Account.POSITION,
    LineKind.PROCESSING: Account.PROCESSING_FEES,
    LineKind.NETWORK: Account.NETWORK_FEES,
    LineKind.SPREAD: Account.SPREAD,
    LineKind.ROUNDING: Account.ROUNDING,
}
"""Which account each line of a sale ends on, once it is ``completed``."""


def authorized(order: Order) -> Booking:
    """The card was authorised: money that we may take, not money that we have."""
    hold = Entry(
        Account.STRIPE,
        Account.CUSTOMER,
        order.gross.asset,
        order.gross.amount_minor,
        EntryState.PENDING,
    )
    return Booking("authorized", (hold,))


def reserved(order: Order) -> Booking:
    """Tokens are set aside before capture: no reservation, no capture."""
    tokens = Entry(
        Account.POSITION,
        Account.VAULT,
        order.token.asset,
        order.token.amount_minor,
        EntryState.PENDING,
    )
    return Booking("reserved", (tokens,))


def captured(_: Order) -> Booking:
    return Booking("captured", posts=("authorized",))


def captured_outside(order: Order) -> Booking:
    """Somebody captured in the provider's dashboard before we had seen the hold."""
    money = Entry(Account.STRIPE, Account.CUSTOMER, order.gross.asset, order.gross.amount_minor)
    return Booking("captured_outside", (money,))


def voided(_: Order) -> Booking:
    return Booking("voided", voids=("authorized",))


def unreserved(_: Order) -> Booking:
    return Booking("unreserved", voids=("reserved",))


def completed(order: Order) -> Booking:
    """Delivered and final: the customer's claim turns into fees and the position's other side."""
    sale = tuple(
        Entry(Account.CUSTOMER, INCOME[line.kind], order.gross.asset, line.amount_minor)
        for line in order.lines
        if line.amount_minor > 0
    )
    return Booking("completed", sale, posts=("reserved",))


def refunded(order: Order) -> Booking:
    money = Entry(Account.CUSTOMER, Account.STRIPE, order.gross.asset, order.gross.amount_minor)
    return Booking("refunded", (money,))


def refunded_outside(amount: Money) -> Booking:
    """Someone refunded in the provider's dashboard after the tokens had left."""
    loss = Entry(Account.REFUND_LOSS, Account.STRIPE, amount.asset, amount.amount_minor)
    return Booking("refunded_outside", (loss,))


def refund_returned(amount: Money) -> Booking:
    """A refund that was made came back; the customer still has a claim."""
    money = Entry(Account.STRIPE, Account.CUSTOMER, amount.asset, amount.amount_minor)
    return Booking("refund_returned", (money,))


def loss_returned(amount: Money) -> Booking:
    """A refund made in the dashboard, booked as our loss, came back."""
    money = Entry(Account.STRIPE, Account.REFUND_LOSS, amount.asset, amount.amount_minor)
    return Booking("loss_returned", (money,))


def gas_spent(spent: Money) -> Booking:
    return Booking(
        "gas_spent", (Entry(Account.GAS, Account.HOT_WALLET, spent.asset, spent.amount_minor),)
    )


def advanced(paid: Money) -> Booking:
    """The order's own bookings take its coins out of the vault, where they still lie: they are the
    platform's now, in exchange for those that its hot wallet sent."""
    swap = Entry(Account.VAULT, Account.HOT_WALLET, paid.asset, paid.amount_minor)
    return Booking("advanced", (swap,))


def treasury_funded(amount: Money, into: Account) -> Booking:
    return Booking(
        "treasury_funded", (Entry(into, Account.TREASURY, amount.asset, amount.amount_minor),)
    )


def treasury_returned(amount: Money) -> Booking:
    given = Entry(Account.TREASURY, Account.VAULT, amount.asset, amount.amount_minor)
    return Booking("treasury_returned", (given,))


def chain_replaced(amount: Money, out_of: Account) -> Booking:
    return Booking(
        "chain_replaced",
        (Entry(Account.CHAIN_LOSS, out_of, amount.asset, amount.amount_minor),),
    )


def escrow_funded(amount: Money) -> Booking:
    """The sale is booked by ``completed``; these two accounts count what the purses hold."""
    held = Entry(Account.ESCROW_HELD, Account.ESCROW_OWED, amount.asset, amount.amount_minor)
    return Booking("escrow_funded", (held,))


def escrow_released(amount: Money, total_minor: int) -> Booking:
    """``total_minor`` is all that the payee has now: it makes the part's key, once for ever."""
    return Booking(f"escrow_released:{total_minor}", (_unheld(amount),))


def escrow_refunded(amount: Money, total_minor: int) -> Booking:
    return Booking(f"escrow_refunded:{total_minor}", (_unheld(amount),))


def escrow_lost(amount: Money) -> Booking:
    return Booking("escrow_lost", (_unheld(amount),))


def _unheld(amount: Money) -> Entry:
    return Entry(Account.ESCROW_OWED, Account.ESCROW_HELD, amount.asset, amount.amount_minor)


ORDER_JOURNAL: dict[str, Callable[[Order], Booking]] = {
    "authorized": authorized,
    "reserved": reserved,
    "captured": captured,
    "captured_outside": captured_outside,
    "voided": voided,
    "unreserved": unreserved,
    "completed": completed,
    "refunded": refunded,
}
"""Everything that can happen to the books of one order."""
