"""Whether what somebody signed can be carried out as the escrow stands. Signatures come after.

The contract repeats every check; asked here, the answer is immediate, has a reason that a person
can read, and costs no gas.
"""

from datetime import datetime

from settlement.errors import AmountOutOfRange, AttestationKnown, InvalidInput, WrongEscrowState
from settlement.escrow import (
    ENDED,
    Action,
    ActionStatus,
    Attestation,
    Consent,
    Dispute,
    Escrow,
    EscrowChange,
    EscrowStatus,
    Release,
    Resolution,
    change,
)
from settlement.events import ESCROW_REQUESTED, Event
from settlement.money import format_minor


def check_attestation(escrow: Escrow, what: Attestation, now: datetime) -> None:
    """Raises :class:`WrongEscrowState`, :class:`AmountOutOfRange` or :class:`InvalidInput`."""
    if escrow.status is EscrowStatus.AWAITING_FUNDING:
        raise WrongEscrowState("the escrow is not funded yet: its order is not completed")
    if escrow.status in ENDED:
        raise WrongEscrowState(f"the escrow is over: it is {escrow.status}")
    match what:
        case Release():
            _check_release(escrow, what)
        case Consent():
            _check_division(escrow, what)
        case Dispute():
            _check_dispute(escrow, what, now)
        case Resolution():
            if escrow.disputed_at is None:
                raise WrongEscrowState(
                    "nobody disputes: there is nothing for the arbiter to decide"
                )
            _check_division(escrow, what)


def _check_release(escrow: Escrow, what: Release) -> None:
    if escrow.terms.oracle is None:
        raise WrongEscrowState("these terms name no oracle: nothing is released on an attestation")
    if escrow.status is EscrowStatus.DISPUTED:
        raise WrongEscrowState("the escrow is disputed: only consent or the arbiter move anything")
    if what.total_minor > escrow.terms.amount_minor:
        raise AmountOutOfRange(f"the escrow is about {escrow.terms.amount} only", param="total")
    if what.total_minor <= escrow.released_minor:
        released = _shown(escrow, escrow.released_minor)
        raise AmountOutOfRange(
            f"total counts all releases, and {released} were released already", param="total"
        )


def _check_division(escrow: Escrow, what: Consent | Resolution) -> None:
    """The arbiter ends the escrow, so must leave nothing over; the parties may divide a part."""
    asked = what.to_payee_minor + what.to_payer_minor
    left = _shown(escrow, escrow.left_minor)
    if asked > escrow.left_minor:
        raise AmountOutOfRange(f"only {left} are left in the escrow", param="to_payee")
    if asked == 0:
        raise AmountOutOfRange("this would move nothing", param="to_payee")
    if isinstance(what, Resolution) and asked != escrow.left_minor:
        raise AmountOutOfRange(
            f"the arbiter divides everything that is left, {left}", param="to_payee"
        )


def _check_dispute(escrow: Escrow, what: Dispute, now: datetime) -> None:
    if what.by not in (escrow.terms.payer, escrow.terms.payee):
        raise InvalidInput("only payer and payee can dispute", param="by")
    if escrow.status is EscrowStatus.DISPUTED:
        raise WrongEscrowState("the escrow is disputed already")
    if now >= escrow.terms.expires_at:
        raise WrongEscrowState("the escrow has expired: it is too late to dispute")
    for action in escrow.actions:
        mine = isinstance(action.what, Dispute) and action.what.by == what.by
        if mine and action.status is ActionStatus.FINAL:
            raise WrongEscrowState("each party disputes once, and this one has")


def _shown(escrow: Escrow, amount_minor: int) -> str:
    asset = escrow.terms.asset
    return f"{format_minor(amount_minor, asset.scale)} {asset.code}"


def request(escrow: Escrow, what: Attestation, digest: str, now: datetime) -> EscrowChange:
    """Take it up. Raises :class:`AttestationKnown` for the same word twice, unless it failed."""
    if isinstance(what, Dispute):
        digest = f"{digest}:{what.by}"  # both parties may sign the same reason
    for known in escrow.actions:
        if known.digest == digest and known.status is not ActionStatus.FAILED:
            raise AttestationKnown(f"this was attested before: {known.id} is {known.status}")
    action = Action(escrow.id, escrow.next_sequence, what, digest, now, now)
    fact = Event(ESCROW_REQUESTED, {"action": action.id, "kind": action.kind})
    return change(escrow, now, actions=(action,), events=(fact,))
