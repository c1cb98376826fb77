"""Between rows of escrows and the core's dataclasses."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

from bridge.storage.codec import Row, asset_from_id, plain
from settlement.batch import BatchStatus
from settlement.errors import InvariantBroken
from settlement.escrow import (
    KINDS,
    Action,
    ActionKind,
    ActionStatus,
    CallOutcome,
    Escrow,
    EscrowChange,
    EscrowStatus,
    Hold,
    Terms,
    What,
)

MUTABLE = (
    "attempts",
    "released_minor",
    "refunded_minor",
    "disputed_at",
    "funded_at",
    "ended_at",
    "funding_ref",
    "last_ref",
    "read_block",
    "version",
)
"""What a patch may change; terms are fixed for ever."""

_CLASSES = {kind: cls for cls, kind in KINDS.items()}


def escrow_from(row: Row, actions: Iterable[Row] = ()) -> Escrow:
    asset = asset_from_id(row["asset"], row["asset_scale"])
    return Escrow(
        id=row["id"],
        tenant_id=row["tenant_id"],
        terms=Terms(
            contract=row["contract"],
            order_id=row["order_id"],
            asset=asset,
            token=row["token"],
            amount_minor=int(row["amount_minor"]),
            payer=row["payer"],
            payee=row["payee"],
            arbiter=row["arbiter"],
            oracle=row["oracle"],
            operator=row["operator"],
            expires_at=row["expires_at"],
            pays_at_expiry=row["pays_at_expiry"],
        ),
        ref=row["ref"],
        purse=row["purse"],
        status=EscrowStatus(row["status"]),
        created_at=row["created_at"],
        due_at=row["due_at"],
        epoch=row["epoch"],
        attempts=row["attempts"],
        released_minor=int(row["released_minor"]),
        refunded_minor=int(row["refunded_minor"]),
        disputed_at=row["disputed_at"],
        funded_at=row["funded_at"],
        ended_at=row["ended_at"],
        funding_ref=row["funding_ref"],
        last_ref=row["last_ref"],
        read_block=row["read_block"],
        version=row["version"],
        actions=tuple(action_from(action) for action in actions),
    )


def action_from(row: Row) -> Action:
    return Action(
        escrow_id=row["escrow_id"],
        sequence=row["sequence"],
        what=_what_from(row["kind"], row["content"]),
        digest=row["digest"],
        requested_at=row["requested_at"],
        changed_at=row["changed_at"],
        status=ActionStatus(row["status"]),
        hold=None if row["hold"] is None else Hold(row["hold"]),
        reason=row["reason"],
        tries=row["tries"],
        ref=row["ref"],
    )


def _what_from(kind: str, content: Row) -> What:
    values = {
        name: int(value) if name.endswith("_minor") else value for name, value in content.items()
    }
    what: What = _CLASSES[ActionKind(kind)](**values)
    return what


def content_of(what: What) -> dict[str, str]:
    """Amounts as text: a reader of JSON may take large numbers for floats."""
    return {name: str(value) for name, value in asdict(what).items()}


def as_requested(action: Action) -> Action:
    """The action as it was taken up, whatever became of it."""
    return replace(
        action,
        status=ActionStatus.REQUESTED,
        changed_at=action.requested_at,
        hold=None,
        reason=None,
        tries=0,
        ref=None,
    )


def checked(change: EscrowChange) -> dict[str, Any]:
    """The patch. Raises :class:`~settlement.errors.InvariantBroken` for what never changes."""
    unknown = change.patch.keys() - set(MUTABLE)
    if unknown:
        raise InvariantBroken(f"a patch of an escrow cannot change {sorted(unknown)}")
    return dict(change.patch)


def patch_json(change: EscrowChange) -> dict[str, Any]:
    return {name: plain(value) for name, value in checked(change).items()}


def outcome_from(row: Row) -> CallOutcome:
    return CallOutcome(
        None if row["status"] is None else BatchStatus(row["status"]),
        row["mined_ref"],
        row["block_number"],
        row["refused_reason"],
    )
