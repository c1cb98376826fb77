"""What an escrow is: terms, what became of the money, and what was asked to be done with it.

An order with ``settle_to: escrow`` pays a purse, an address that follows from the terms. The order
is complete when that payment is final; then the escrow has its own life, in its own table of
states::

    awaiting_funding ─► funded ⇄ disputed ─► released | refunded | split
           └─► void (the order ended without paying)

What the chain says at a final block is what happened, whoever did it. What we do ourselves is an
*action*: stored, screened, called, followed: ``requested → (held) → submitted → final | failed``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from settlement.batch import BatchStatus, RequestedCall
from settlement.errors import InvariantBroken
from settlement.events import Event
from settlement.ids import OrderId, TenantId, TxRef
from settlement.ledger.entry import Booking
from settlement.money import Asset, Money

EscrowId = str


class EscrowStatus(StrEnum):
    AWAITING_FUNDING = "awaiting_funding"
    FUNDED = "funded"
    DISPUTED = "disputed"
    RELEASED = "released"
    REFUNDED = "refunded"
    SPLIT = "split"
    VOID = "void"


E = EscrowStatus

ESCROW: dict[EscrowStatus, frozenset[EscrowStatus]] = {
    E.AWAITING_FUNDING: frozenset({E.FUNDED, E.VOID}),
    E.FUNDED: frozenset({E.DISPUTED, E.RELEASED, E.REFUNDED, E.SPLIT, E.VOID}),
    E.DISPUTED: frozenset({E.FUNDED, E.RELEASED, E.REFUNDED, E.SPLIT, E.VOID}),
    E.RELEASED: frozenset(),
    E.REFUNDED: frozenset(),
    E.SPLIT: frozenset(),
    E.VOID: frozenset(),
}
"""``disputed → funded``: a dispute that nobody resolved lapses. A funded escrow is void only when
its chain is gone, which happens to demos alone."""

HOLDING = frozenset({E.FUNDED, E.DISPUTED})
"""There is money in the purse that is nobody's yet."""

ENDED = frozenset({E.RELEASED, E.REFUNDED, E.SPLIT, E.VOID})


@dataclass(frozen=True, slots=True)
class Terms:
    """What was agreed, and what the purse's address is made from. Addresses in normal form.

    ``contract`` is the escrow contract, ``token`` how it names the asset. ``oracle`` may be nobody:
    then nothing is released on an attestation. Until ``expires_at`` (whole seconds) and a grace
    after it only ``operator``, a lane of ours, can have money moved.
    """

    contract: str
    order_id: OrderId
    asset: Asset
    token: str
    amount_minor: int
    payer: str
    payee: str
    arbiter: str
    oracle: str | None
    operator: str
    expires_at: datetime
    pays_at_expiry: bool

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.asset)


# What somebody signed, and what only time says --------------------------------------------------


@dataclass(frozen=True, slots=True)
class Release:
    """The oracle's word: the payee is to have ``total_minor`` all in all, for ``evidence``."""

    total_minor: int
    evidence: str
    signature: str


@dataclass(frozen=True, slots=True)
class Consent:
    """Payer and payee divide as they like, once: it counts what was paid before."""

    to_payee_minor: int
    to_payer_minor: int
    payer_signature: str
    payee_signature: str


@dataclass(frozen=True, slots=True)
class Dispute:
    """Payer or payee (``by``) stops releases until the arbiter decides."""

    by: str
    reason: str
    signature: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """The arbiter divides all that is left."""

    to_payee_minor: int
    to_payer_minor: int
    signature: str


@dataclass(frozen=True, slots=True)
class Expiry:
    """The date has come: what is left goes where the terms say. Nobody signs it."""


Attestation = Release | Consent | Dispute | Resolution
What = Attestation | Expiry


class ActionKind(StrEnum):
    RELEASE = "release"
    CONSENT = "consent"
    DISPUTE = "dispute"
    RESOLUTION = "resolution"
    EXPIRY = "expiry"


KINDS: Mapping[type, ActionKind] = {
    Release: ActionKind.RELEASE,
    Consent: ActionKind.CONSENT,
    Dispute: ActionKind.DISPUTE,
    Resolution: ActionKind.RESOLUTION,
    Expiry: ActionKind.EXPIRY,
}


class ActionStatus(StrEnum):
    REQUESTED = "requested"
    HELD = "held"
    SUBMITTED = "submitted"
    FINAL = "final"
    FAILED = "failed"


WAITING = frozenset({ActionStatus.REQUESTED, ActionStatus.HELD})


class Hold(StrEnum):
    """Why an action waits: an address that a person has to look at, or one that is never paid; or
    the card payment behind it was given back, or is disputed."""

    REVIEW = "review"
    SANCTIONS = "sanctions"
    REFUNDED = "refunded"
    DISPUTED = "disputed"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to be done with an escrow, numbered within it.

    ``digest`` names what was signed (and by which party), so that no word is carried out twice.
    ``tries`` counts the calls made for it; ``ref`` is the transaction that decided. ``hold`` and
    ``reason`` say why it waits or failed.
    """

    escrow_id: EscrowId
    sequence: int
    what: What
    digest: str
    requested_at: datetime
    changed_at: datetime
    status: ActionStatus = ActionStatus.REQUESTED
    hold: Hold | None = None
    reason: str | None = None
    tries: int = 0
    ref: TxRef | None = None

    @property
    def kind(self) -> ActionKind:
        return KINDS[type(self.what)]

    @property
    def id(self) -> str:
        return f"{self.escrow_id}:{self.sequence}"

    @property
    def call_id(self) -> str:
        """Derived, never drawn: the same try is the same call."""
        return f"{self.id}:{self.tries}"


@dataclass(frozen=True, slots=True)
class Escrow:
    """One escrow as stored. ``ref`` is the contract's own id for it, ``purse`` holds the money.

    ``released_minor`` and ``refunded_minor`` are what a final block said, ``read_block`` the newest
    one that was read. ``funding_ref`` and ``last_ref`` are the transactions that filled the purse
    and that last changed something. ``version`` counts what deserves telling.
    """

    id: EscrowId
    tenant_id: TenantId
    terms: Terms
    ref: str
    purse: str
    status: EscrowStatus
    created_at: datetime
    due_at: datetime
    epoch: int = 0
    attempts: int = 0
    released_minor: int = 0
    refunded_minor: int = 0
    disputed_at: datetime | None = None
    funded_at: datetime | None = None
    ended_at: datetime | None = None
    funding_ref: TxRef | None = None
    last_ref: TxRef | None = None
    read_block: int | None = None
    version: int = 0
    actions: tuple[Action, ...] = ()

    @property
    def network(self) -> str:
        return self.terms.asset.network or ""

    @property
    def paid_minor(self) -> int:
        """What left the purse so far; divisions are signed over it."""
        return self.released_minor + self.refunded_minor

    @property
    def left_minor(self) -> int:
        """What still lies in the purse by our books."""
        holds = self.status in HOLDING
        return self.terms.amount_minor - self.paid_minor if holds else 0

    @property
    def submitted(self) -> Action | None:
        """The action whose call is on its way; never more than one."""
        return next((a for a in self.actions if a.status is ActionStatus.SUBMITTED), None)

    @property
    def next_sequence(self) -> int:
        return max((action.sequence for action in self.actions), default=0) + 1


@dataclass(frozen=True, slots=True)
class OnChain:
    """What the contract says of an escrow at one final block. ``time`` is that block's."""

    block_number: int
    time: datetime
    released_minor: int
    refunded_minor: int
    disputed_at: datetime | None
    dispute_open: bool
    ended: bool


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What became of a requested call: not planned yet (``None``), or how its batch stands."""

    status: BatchStatus | None
    ref: TxRef | None = None
    block_number: int | None = None
    refused_reason: str | None = None


@dataclass(frozen=True, slots=True)
class EscrowChange:
    """What one decision does to one escrow, all of it in one transaction or nothing.

    ``patch`` holds new values of :class:`Escrow` fields, ``actions`` new or changed ones, ``call``
    what a lane is to sign. Guarded by status and epoch as an order's change is.
    """

    escrow: Escrow
    to: EscrowStatus
    due_at: datetime
    patch: dict[str, Any] = field(default_factory=dict)
    actions: tuple[Action, ...] = ()
    bookings: tuple[Booking, ...] = ()
    events: tuple[Event, ...] = ()
    call: RequestedCall | None = None


_AMOUNTS = frozenset({"released_minor", "refunded_minor"})


def change(
    escrow: Escrow,
    due_at: datetime,
    *,
    to: EscrowStatus | None = None,
    patch: Mapping[str, Any] | None = None,
    actions: tuple[Action, ...] = (),
    bookings: tuple[Booking, ...] = (),
    events: tuple[Event, ...] = (),
    call: RequestedCall | None = None,
) -> EscrowChange:
    """The only way to change an escrow; a new status or amount is told to the provider, too,
    but not that nothing came of it: the payment says that by itself.

    Raises :class:`InvariantBroken` for an edge that the table does not list.
    """
    to = to or escrow.status
    if to is not escrow.status and to not in ESCROW[escrow.status]:
        raise InvariantBroken(f"{escrow.id}: {escrow.status} → {to} is not an edge")
    values = {"attempts": 0, **(patch or {})}
    moved = to is not escrow.status and to is not EscrowStatus.VOID
    if moved or _AMOUNTS & values.keys():
        values["version"] = escrow.version + 1
    return EscrowChange(escrow, to, due_at, values, actions, bookings, events, call)


def wait(escrow: Escrow, due_at: datetime) -> EscrowChange:
    """Nothing new; look again at ``due_at``."""
    patch = {"attempts": escrow.attempts + 1}
    return EscrowChange(escrow, escrow.status, due_at, patch)


def acting_for(escrow: Escrow, what: What) -> tuple[str, ...]:
    """Who would be paid by this: each of them is screened once more before it is done."""
    terms = escrow.terms
    match what:
        case Release():
            return (terms.payee,)
        case Consent(to_payee, to_payer) | Resolution(to_payee, to_payer):
            shares = ((terms.payee, to_payee), (terms.payer, to_payer))
            return tuple(party for party, share in shares if share > 0)
        case Expiry():
            return (terms.payee if terms.pays_at_expiry else terms.payer,)
        case Dispute():
            return ()
