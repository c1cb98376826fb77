"""Between rows and the core's dataclasses. The only place that knows both spellings.

Amounts travel as ``numeric`` and as whole JSON numbers, which Python and PostgreSQL both read
without loss; no float is ever in between.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from fractions import Fraction
from functools import cache
from typing import Any

from settlement.batch import Attempt, Batch, BatchKind, BatchStatus, Lane, RequestedCall
from settlement.errors import InvariantBroken
from settlement.events import StoredEvent
from settlement.ledger.accounts import Account
from settlement.ledger.entry import Booking
from settlement.money import Asset, Money
from settlement.order import Direction, HoldReason, Order, Status
from settlement.ports.chain import ChainIdentity, ContractCall, Fees, SignedTransaction
from settlement.ports.payment import ProviderEvent
from settlement.ports.store import Balance, InboxItem, NetworkState
from settlement.quote import Line, LineKind, Quote, Speed

Row = Mapping[str, Any]

MUTABLE = {
    "attempts": "integer",
    "hold_reason": "text",
    "exit_to": "text",
    "reason": "text",
    "decline_code": "text",
    "payment_intent_id": "text",
    "payment_client_secret": "text",
    "charge_id": "text",
    "authorized_at": "timestamptz",
    "capture_before": "timestamptz",
    "screening_id": "text",
    "batch_id": "bigint",
    "batch_index": "integer",
    "refund_id": "text",
    "refund_tried_at": "timestamptz",
}
"""What a patch may change, by column type; the rest of an order is fixed when it is accepted."""
_STATUS = {status.value: status for status in Status}
_HOLD = {reason.value: reason for reason in HoldReason}
_LINE_KIND = {kind.value: kind for kind in LineKind}
_SPEED = {speed.value: speed for speed in Speed}
_DIRECTION = {direction.value: direction for direction in Direction}
"""Looking a word up is several times quicker than asking the enum's class for it."""


def _moment(value: datetime | str | None) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _sure(value: datetime | str) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def asset_from_id(asset_id: str, scale: int) -> Asset:
    """The inverse of :attr:`settlement.money.Asset.id`."""
    network, colon, code = asset_id.rpartition(":")
    return Asset(code, scale, network if colon else None)


# A deployment has a handful of assets, and every row names two of them.
_asset = cache(Asset)


def lines_from(value: Iterable[Iterable[Any]]) -> tuple[Line, ...]:
    return tuple(Line(_LINE_KIND[kind], int(amount)) for kind, amount in value)


def lines_json(lines: Iterable[Line]) -> list[list[Any]]:
    return [[line.kind.value, line.amount_minor] for line in lines]


def order_from(row: Row) -> Order:
    """An order from its row, or from the row's JSON snapshot."""
    return Order(
        id=row["id"],
        tenant_id=row["tenant_id"],
        direction=_DIRECTION[row["direction"]],
        status=_STATUS[row["status"]],
        quote_id=row["quote_id"],
        customer=row["customer"],
        wallet=row["wallet"],
        network=row["network"],
        gross=Money(int(row["gross_minor"]), _asset(row["fiat"], row["fiat_scale"])),
        token=Money(
            int(row["token_minor"]), _asset(row["token"], row["token_scale"], row["network"])
        ),
        lines=lines_from(row["lines"]),
        client_secret=row["client_secret"],
        created_at=_sure(row["created_at"]),
        expires_at=_sure(row["expires_at"]),
        due_at=_sure(row["due_at"]),
        epoch=row["epoch"],
        attempts=row["attempts"],
        hold_reason=_HOLD[row["hold_reason"]],
        exit_to=None if row["exit_to"] is None else _STATUS[row["exit_to"]],
        reason=row["reason"],
        decline_code=row["decline_code"],
        payment_intent_id=row["payment_intent_id"],
        payment_client_secret=row["payment_client_secret"],
        charge_id=row["charge_id"],
        authorized_at=_moment(row["authorized_at"]),
        capture_before=_moment(row["capture_before"]),
        screening_id=row["screening_id"],
        batch_id=row["batch_id"],
        batch_index=row["batch_index"],
        refund_id=row["refund_id"],
        refund_tried_at=_moment(row["refund_tried_at"]),
        return_url=row["return_url"],
        metadata=row["metadata"],
        escrow_id=row["escrow_id"],
        parties=tuple(row["parties"]),
        settle_by=_moment(row["settle_by"]),
        # Answers that were kept before there were speeds do not name one.
        speed=_SPEED[row.get("speed", "standard")],
        network_fee_wei=int(row.get("network_fee_wei", 0)),
    )


def quote_from(row: Row) -> Quote:
    return Quote(
        id=row["id"],
        tenant_id=row["tenant_id"],
        network=row["network"],
        gross=Money(int(row["gross_minor"]), _asset(row["fiat"], row["fiat_scale"])),
        token=Money(
            int(row["token_minor"]), _asset(row["token"], row["token_scale"], row["network"])
        ),
        lines=lines_from(row["lines"]),
        rate=Fraction(row["rate"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        speed=_SPEED[row["speed"]],
        network_fee_wei=int(row["network_fee_wei"]),
    )


def event_from(row: Row) -> StoredEvent:
    return StoredEvent(row["id"], row["order_id"], row["type"], row["data"], row["created_at"])


def lane_from(row: Row) -> Lane:
    return Lane(
        id=row["id"],
        network=row["network"],
        address=row["address"],
        next_nonce=row["next_nonce"],
        epoch=row["epoch"],
        first_nonce=row["first_nonce"],
        paused_at=row["paused_at"],
        low_since=row["low_since"],
    )


def attempt_from(row: Row) -> Attempt:
    fees = Fees(int(row["max_fee_wei"]), int(row["priority_fee_wei"]))
    signed = SignedTransaction(row["ref"], row["raw"], row["nonce"], fees, row["gas_limit"])
    return Attempt(signed, row["signed_at"], row["sent_at"], row["cancels"])


def requested_from(row: Row) -> RequestedCall:
    call = ContractCall(row["to_address"], row["data"], int(row["value"]))
    return RequestedCall(row["id"], row["network"], row["sender"], call)


def batch_from(row: Row, attempts: Iterable[Row], requested: Row | None = None) -> Batch:
    """``row`` carries the lane's address beside the batch's own columns."""
    return Batch(
        id=row["id"],
        network=row["network"],
        asset=Asset(row["asset"], row["asset_scale"], row["network"]),
        lane_id=row["lane_id"],
        lane_address=row["lane_address"],
        nonce=row["nonce"],
        status=BatchStatus(row["status"]),
        root=row["root"],
        order_count=row["order_count"],
        planned_at=row["planned_at"],
        kind=BatchKind(row["kind"]),
        requested=None if requested is None else requested_from(requested),
        cancel_asked_at=row["cancel_asked_at"],
        bump_asked_at=row["bump_asked_at"],
        reminded_at=row["reminded_at"],
        value_minor=int(row["value"]),
        attempts=tuple(attempt_from(attempt) for attempt in attempts),
        mined_ref=row["mined_ref"],
        block_number=row["block_number"],
        block_hash=row["block_hash"],
    )


def network_from(row: Row) -> NetworkState:
    identity = ChainIdentity(row["genesis_hash"], row["vault_address"], row["vault_code_hash"])
    return NetworkState(
        row["name"],
        row["instance"],
        identity,
        row["stop_reason"],
        row["anchor_number"],
        row["anchor_hash"],
        row["paused_at"],
        row["paused_by"],
        row["head_number"],
        row["final_number"],
        row["head_at"],
    )


def provider_event_from(row: Row) -> ProviderEvent:
    return ProviderEvent(
        row["id"], row["type"], row["created_at"], row["intent_id"], row["order_id"], row["body"]
    )


def inbox_item_from(row: Row) -> InboxItem:
    return InboxItem(provider_event_from(row), row["attempts"])


def balance_from(row: Row) -> Balance:
    return Balance(
        Account(row["code"]),
        asset_from_id(row["asset"], row["asset_scale"]),
        int(row["debits_posted"]),
        int(row["credits_posted"]),
        int(row["debits_pending"]),
        int(row["credits_pending"]),
    )


def token_network_agrees(token: Money, network: str) -> None:
    """Rows keep one network; an object with two is our own bug."""
    if token.asset.network != network:
        raise InvariantBroken(f"{token.asset.id} is not a token of {network}")


# Changes, as the rows that the set-based statements read ---------------------------------------


def plain(value: Any) -> Any:
    """A patch value as JSON."""
    if isinstance(value, datetime):
        return value.isoformat()
    return value.value if isinstance(value, Enum) else value


def checked_patch(patch: Mapping[str, Any]) -> Mapping[str, Any]:
    """The patch with only known fields, leaving a batch altogether or not at all.

    Raises :class:`~settlement.errors.InvariantBroken` for a field that never changes.
    """
    if not patch.keys() <= MUTABLE.keys():
        raise InvariantBroken(f"a patch cannot change {sorted(patch.keys() - MUTABLE.keys())}")
    if "batch_id" in patch and patch["batch_id"] is None:
        return {**patch, "batch_index": None}
    return patch


def entry_rows(tenant_id: str, source: str, bookings: Iterable[Booking]) -> list[tuple[Any, ...]]:
    """Rows of :data:`bridge.storage.ledger.ENTRIES`."""
    return [
        (
            *(tenant_id, source, booking.event, line, entry.debit, entry.credit),
            *(entry.asset.id, entry.asset.scale, entry.amount_minor, entry.state),
        )
        for booking in bookings
        for line, entry in enumerate(booking.entries)
    ]


def resolution_rows(
    tenant_id: str, source: str, bookings: Iterable[Booking]
) -> list[tuple[str, str, str, str]]:
    """What earlier pending entries become: rows of :data:`bridge.storage.ledger.RESOLUTIONS`.

    Raises :class:`~settlement.errors.InvariantBroken` when an event is resolved twice, or in the
    change that books it: one statement cannot see its own rows.
    """
    bookings = tuple(bookings)
    fates: dict[str, str] = {}
    for booking in bookings:
        named = [(event, "posted") for event in booking.posts]
        named += [(event, "voided") for event in booking.voids]
        for event, state in named:
            if fates.setdefault(event, state) != state:
                raise InvariantBroken(f"{source}: {event} is both posted and voided")
    if any(booking.event in fates and booking.entries for booking in bookings):
        raise InvariantBroken(f"{source}: books and resolves the same event at once")
    return [(tenant_id, source, event, state) for event, state in fates.items()]
