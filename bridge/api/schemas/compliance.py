"""Screenings, cases, lists and the audit trail over the wire: what officers work with."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from bridge.api.schemas.common import (
    NO_CONTROL,
    Amount,
    Currency,
    FiatAmount,
    Id,
    Name,
    fiat_amount,
)
from bridge.storage.audit import Verified
from bridge.storage.records import (
    AuditRecord,
    CaseNoteRecord,
    ListEntryRecord,
    ListVersionRecord,
    ScreeningRecord,
)
from settlement.case import STANDING, Case
from settlement.ports.lists import ListState

Text = Annotated[str, Meta(min_length=1, max_length=2000, pattern=r"^[^\x00]*$")]
Address = Annotated[str, Meta(min_length=1, max_length=128, pattern=NO_CONTROL)]


class ScreeningAmount(Struct, kw_only=True, forbid_unknown_fields=True):
    currency: Currency
    amount: Amount


class ScreeningCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """A wallet to be judged without an order. With a customer, their earlier wallets are compared;
    with an amount, the limits of a wallet without history apply."""

    network: Name
    address: Address
    customer: Id | None = None
    amount: ScreeningAmount | None = None


class ReasonView(Struct, kw_only=True):
    """Why; ``code`` is stable (``list.<name>``)."""

    code: str
    detail: str


class PaymentView(Struct, kw_only=True):
    """Who paid whom, and the hashes of the newest transactions in which they did, five at most."""

    src: str
    dst: str
    transactions: list[str]


class ScreeningView(Struct, kw_only=True):
    """A verdict as recorded; ``versions`` names everything that decided.

    ``score_ppm`` is the model's probability in parts per million, ``null`` where it abstained.
    ``coverage`` says how much of the chain was known. ``digest`` seals the verdict: a replay that
    ends in the same one is the same verdict. Shown to officers alone: ``evidence``, and the newest
    transactions behind each step and counterparty in it (``payments``).
    """

    id: str
    object: str = "screening"
    order_id: str | None
    network: str
    wallet: str
    outcome: str
    score_ppm: int | None
    reasons: list[ReasonView]
    versions: dict[str, str]
    coverage: dict[str, Any]
    evidence: dict[str, Any] | UnsetType = UNSET
    payments: list[PaymentView] | UnsetType = UNSET
    digest: str | None
    created_at: datetime


class Decide(Struct, kw_only=True, forbid_unknown_fields=True):
    """Why an officer decides as they do; it is kept for good."""

    reason: Text


class NoteCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    text: Text


class NoteView(Struct, kw_only=True):
    id: str
    object: str = "case_note"
    author: str
    text: str
    created_at: datetime


class AuditView(Struct, kw_only=True):
    """One row of the audit trail. ``hash`` seals it and, through the row before, all before it."""

    id: str
    object: str = "audit_record"
    actor: str
    action: str
    object_id: str
    data: Mapping[str, Any]
    place: int
    hash: str
    at: datetime


class CaseView(Struct, kw_only=True):
    """One order in review, or paid and held for a list (then there is no ``decide_before``).
    ``rank`` orders the queue: ``risk_ppm`` times the amount.

    ``needs_second``: two officers have to approve. ``decide_before`` is when the authorisation is
    given back if nobody has decided. The rest is there for a single case: the screening with its
    evidence, what was known when it was decided, notes and history.
    """

    id: str
    object: str = "case"
    status: str
    order_id: str
    network: str
    wallet: str
    customer: str
    amount: FiatAmount
    score_ppm: int | None
    risk_ppm: int
    rank: str
    needs_second: bool
    claimed_by: str | None
    claimed_at: datetime | None
    first_approved_by: str | None
    first_approved_at: datetime | None
    decided_by: str | None
    decided_at: datetime | None
    reason: str | None
    closed_because: str | None
    evidence_digest: str | None
    opened_at: datetime
    decide_before: datetime | UnsetType | None = UNSET
    screening: ScreeningView | UnsetType | None = UNSET
    evidence: Mapping[str, Any] | UnsetType | None = UNSET
    notes: list[NoteView] | UnsetType = UNSET
    history: list[AuditView] | UnsetType = UNSET


class AddressListView(Struct, kw_only=True):
    """A list as of its newest version. ``own``: this account's officers write it."""

    id: str
    object: str = "address_list"
    own: bool
    version: int
    digest: str
    entries: int
    published_on: date | None
    refreshed_at: datetime | None


class ListVersionView(Struct, kw_only=True):
    id: str
    object: str = "list_version"
    digest: str
    format: str
    published_on: date | None
    entries: int
    added: int
    removed: int
    unreadable: int
    actor: str
    created_at: datetime


class ListEntryView(Struct, kw_only=True):
    """One address on one list, from the version that named it first to the one that no longer
    did. It counts from ``since`` (``null``: always) until before ``until``."""

    id: str
    object: str = "list_entry"
    list: str
    address: str
    asset: str
    action: str
    category: str
    name: str
    since: datetime | None
    until: datetime | None
    added_in: int
    removed_in: int | None


class ListEntryCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """``asset`` is a symbol (``ETH``, ``XBT``) that says of which chain's form the address is."""

    address: Address
    asset: Name
    reason: Text
    name: Annotated[str, Meta(max_length=200, pattern=NO_CONTROL)] = ""
    category: Annotated[str, Meta(max_length=64, pattern=NO_CONTROL)] = ""
    since: datetime | None = None
    until: datetime | None = None


class VerificationView(Struct, kw_only=True):
    """Whether every seal of the audit trail is right. Note ``head`` down elsewhere: given back as
    ``noted``, it shows that nobody has rewritten the whole trail since."""

    object: str = "audit_verification"
    verified: bool
    rows: int
    head: str
    broken: str | None
    knows_head: bool | None


def screening_view(
    record: ScreeningRecord, payments: Sequence[Mapping[str, Any]] | None
) -> ScreeningView:
    """``payments``: what lies behind it, for an officer; ``None`` for anybody else."""
    verdict, subject = record.verdict, record.subject
    return ScreeningView(
        id=record.id,
        order_id=subject.order_id,
        network=subject.network,
        wallet=subject.wallet,
        outcome=verdict.outcome,
        score_ppm=verdict.score_ppm,
        reasons=[ReasonView(code=r.code, detail=r.detail) for r in verdict.reasons],
        versions=dict(verdict.versions),
        coverage=dict(verdict.coverage),
        evidence=UNSET if payments is None else dict(verdict.evidence),
        payments=UNSET if payments is None else [PaymentView(**one) for one in payments],
        digest=record.digest,
        created_at=record.created_at,
    )


def case_view(case: Case, alone_up_to: Mapping[str, int]) -> CaseView:
    limit = alone_up_to.get(case.amount.asset.code, 0)
    return CaseView(
        id=case.id,
        status=case.status,
        order_id=case.order_id,
        network=case.network,
        wallet=case.wallet,
        customer=case.customer,
        amount=fiat_amount(case.amount),
        score_ppm=case.score_ppm,
        risk_ppm=case.risk_ppm,
        rank=str(case.rank),
        needs_second=case.status in STANDING and case.amount.amount_minor > limit,
        claimed_by=case.claimed_by,
        claimed_at=case.claimed_at,
        first_approved_by=case.approved_by,
        first_approved_at=case.approved_at,
        decided_by=case.decided_by,
        decided_at=case.decided_at,
        reason=case.reason,
        closed_because=case.closed_because,
        evidence_digest=case.evidence_digest,
        opened_at=case.opened_at,
    )


def note_view(note: CaseNoteRecord) -> NoteView:
    return NoteView(id=note.id, author=note.author, text=note.text, created_at=note.at)


def audit_view(record: AuditRecord) -> AuditView:
    return AuditView(
        id=str(record.id),
        actor=record.actor,
        action=record.action,
        object_id=record.object_id,
        data=record.data,
        place=record.place,
        hash=record.hash,
        at=record.at,
    )


def audit_views(records: Sequence[AuditRecord]) -> list[AuditView]:
    return [audit_view(record) for record in records]


def address_list_view(state: ListState) -> AddressListView:
    return AddressListView(
        id=state.name,
        own=bool(state.tenant_id),
        version=state.version,
        digest=state.digest,
        entries=state.entries,
        published_on=state.published_on,
        refreshed_at=state.refreshed_at,
    )


def version_view(version: ListVersionRecord) -> ListVersionView:
    return ListVersionView(
        id=str(version.version),
        digest=version.digest,
        format=version.format,
        published_on=version.published_on,
        entries=version.entries,
        added=version.added,
        removed=version.removed,
        unreadable=version.unreadable,
        actor=version.actor,
        created_at=version.at,
    )


def entry_view(record: ListEntryRecord) -> ListEntryView:
    entry = record.entry
    return ListEntryView(
        id=str(record.id),
        list=entry.listing.source,
        address=entry.address,
        asset=entry.asset,
        action=entry.listing.action,
        category=entry.listing.category,
        name=entry.listing.name,
        since=entry.since,
        until=entry.until,
        added_in=record.added_in,
        removed_in=record.removed_in,
    )


def verification_view(found: Verified) -> VerificationView:
    return VerificationView(
        verified=found.broken is None,
        rows=found.rows,
        head=found.head,
        broken=found.broken,
        knows_head=found.knows_head,
    )
