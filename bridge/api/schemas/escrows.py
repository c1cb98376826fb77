"""Escrows and attestations over the wire."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from bridge.api.schemas.agreements import AddressText
from bridge.api.schemas.common import Amount, TokenAmount, token_amount
from bridge.api.schemas.orders import EventView, event_view
from settlement.escrow import Action, Escrow
from settlement.events import StoredEvent
from settlement.money import Money, format_minor

Word = Annotated[
    str,
    Meta(
        pattern="^0x[0-9a-fA-F]{64}$",
        description="32 bytes in hex: usually the hash of a document.",
    ),
]
Signature = Annotated[
    str,
    Meta(
        pattern="^0x([0-9a-fA-F]{2})+$",
        max_length=8194,
        description="EIP-712, over the escrow's own domain. Checked at once.",
    ),
]
ByContract = Annotated[
    bool,
    Meta(
        description="A signer is a contract (ERC-1271): a signature that is no key's of that "
        "address is left to the chain to judge."
    ),
]


class ReleaseCreate(
    Struct, tag="release", tag_field="kind", forbid_unknown_fields=True, kw_only=True
):
    """The oracle attests how much the payee is to have, all releases together."""

    total: Amount
    evidence: Word
    signature: Signature
    signed_by_contract: ByContract = False


class ConsentCreate(
    Struct, tag="consent", tag_field="kind", forbid_unknown_fields=True, kw_only=True
):
    """Payer and payee agree on a division of what is left, or of a part of it."""

    to_payee: Amount
    to_payer: Amount
    payer_signature: Signature
    payee_signature: Signature
    signed_by_contract: ByContract = False


class DisputeCreate(
    Struct, tag="dispute", tag_field="kind", forbid_unknown_fields=True, kw_only=True
):
    """Payer or payee (``by``) calls the arbiter; releases stop. Each once, before the expiry."""

    by: AddressText
    reason: Word
    signature: Signature
    signed_by_contract: ByContract = False


class ResolutionCreate(
    Struct, tag="resolution", tag_field="kind", forbid_unknown_fields=True, kw_only=True
):
    """The arbiter divides everything that is left; the escrow ends."""

    to_payee: Amount
    to_payer: Amount
    signature: Signature
    signed_by_contract: ByContract = False


AttestationCreate = ReleaseCreate | ConsentCreate | DisputeCreate | ResolutionCreate


class AttestationView(Struct, kw_only=True):
    """Something to be done with an escrow: ``requested``, ``held``, ``submitted``, ``final`` or
    ``failed``. Why it is held or failed is in ``hold_reason`` and ``reason``. An ``expiry`` is
    nobody's attestation: the date has come."""

    id: str
    object: str = "attestation"
    escrow: str
    kind: str
    status: str
    content: Mapping[str, str]
    hold_reason: str | None
    reason: str | None
    transaction: str | None
    requested_at: datetime
    changed_at: datetime


class TermsView(Struct, kw_only=True):
    payer: str
    payee: str
    arbiter: str
    oracle: str | None
    operator: str
    expires_at: datetime
    at_expiry: str


class SigningView(Struct, kw_only=True):
    """What a signer needs (EIP-712): the domain, and of ``types`` the one that is signed.

    ``id`` is the message's. Amounts in messages are in the asset's smallest unit, of which
    10^``scale`` make one. ``paid_before`` is what a division has to name right now.
    """

    id: str
    paid_before: str
    scale: int
    domain: Mapping[str, Any]
    types: Mapping[str, Any]


class EscrowView(Struct, kw_only=True):
    """One escrow. ``released`` and ``refunded`` are what a final block says; ``left`` lies in the
    purse. ``history`` is only shown with a single escrow."""

    id: str
    object: str = "escrow"
    status: str
    order: str
    network: str
    contract: str
    purse: str
    amount: TokenAmount
    released: TokenAmount
    refunded: TokenAmount
    left: TokenAmount
    terms: TermsView
    signing: SigningView | None
    attestations: list[AttestationView]
    transactions: list[str]
    history: list[EventView] | UnsetType = UNSET
    disputed_at: datetime | None
    funded_at: datetime | None
    ended_at: datetime | None
    created_at: datetime
    livemode: bool


def escrow_view(
    escrow: Escrow,
    *,
    livemode: bool,
    signing: Mapping[str, Any] | None,
    history: Sequence[StoredEvent] | None = None,
) -> EscrowView:
    """``signing``: domain and types; ``None`` where the network has no escrow contract any more."""
    terms, asset = escrow.terms, escrow.terms.asset
    view = EscrowView(
        id=escrow.id,
        status=escrow.status,
        order=terms.order_id,
        network=escrow.network,
        contract=terms.contract,
        purse=escrow.purse,
        amount=token_amount(terms.amount),
        released=token_amount(Money(escrow.released_minor, asset)),
        refunded=token_amount(Money(escrow.refunded_minor, asset)),
        left=token_amount(Money(escrow.left_minor, asset)),
        terms=_terms_view(escrow),
        signing=None if signing is None else _signing_view(escrow, signing),
        attestations=[attestation_view(escrow, action) for action in escrow.actions],
        transactions=_transactions(escrow),
        disputed_at=escrow.disputed_at,
        funded_at=escrow.funded_at,
        ended_at=escrow.ended_at,
        created_at=escrow.created_at,
        livemode=livemode,
    )
    if history is not None:
        view.history = [event_view(event, frontend=False) for event in history]
    return view


def _terms_view(escrow: Escrow) -> TermsView:
    terms = escrow.terms
    return TermsView(
        payer=terms.payer,
        payee=terms.payee,
        arbiter=terms.arbiter,
        oracle=terms.oracle,
        operator=terms.operator,
        expires_at=terms.expires_at,
        at_expiry="pay_payee" if terms.pays_at_expiry else "refund_payer",
    )


def _signing_view(escrow: Escrow, signing: Mapping[str, Any]) -> SigningView:
    return SigningView(
        id=escrow.ref,
        paid_before=str(escrow.paid_minor),
        scale=escrow.terms.asset.scale,
        domain=signing["domain"],
        types=signing["types"],
    )


def _transactions(escrow: Escrow) -> list[str]:
    """Each once: what filled the purse, what was done, and what somebody else did last."""
    refs = [escrow.funding_ref, *(action.ref for action in escrow.actions), escrow.last_ref]
    return list(dict.fromkeys(ref for ref in refs if ref is not None))


def attestation_view(escrow: Escrow, action: Action) -> AttestationView:
    return AttestationView(
        id=action.id,
        escrow=escrow.id,
        kind=action.kind,
        status=action.status,
        content=_content(escrow, action),
        hold_reason=action.hold,
        reason=action.reason,
        transaction=action.ref,
        requested_at=action.requested_at,
        changed_at=action.changed_at,
    )


def _content(escrow: Escrow, action: Action) -> dict[str, str]:
    """As it was attested, without the signatures: amounts in whole units."""
    scale = escrow.terms.asset.scale
    return {
        name.removesuffix("_minor"): format_minor(value, scale) if type(value) is int else value
        for name, value in asdict(action.what).items()
        if not name.endswith("signature")
    }
