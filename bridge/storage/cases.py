"""Cases in SQL: the queue by rank, and one decision with all that belongs to it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.storage.behind import payments_behind
from bridge.storage.codec import asset_from_id, order_from
from bridge.storage.orders import apply_on
from bridge.storage.pages import Listing, Page
from bridge.storage.records import CaseNoteRecord
from bridge.storage.screenings import screening_from
from settlement.case import Case, CaseId, CaseStatus, OfficerId, order_change
from settlement.errors import CaseDecided, NotFound
from settlement.ids import TenantId, new_id
from settlement.money import Money
from settlement.order import Order

_CASE = "SELECT * FROM cases WHERE id = $1 AND ($2::text IS NULL OR tenant_id = $2)"
_NOTES = "SELECT * FROM case_notes WHERE case_id = $1 ORDER BY id"
_NOTE = """
    INSERT INTO case_notes (id, case_id, tenant_id, author, text, at)
    VALUES ($1, $2, $3, $4, $5, $6)
"""
# The order's row first, as whatever moves an order does: the other way round would deadlock.
_LOCK_ORDER = """
    SELECT o.* FROM orders o JOIN cases c ON c.order_id = o.id
    WHERE c.id = $1 AND ($2::text IS NULL OR c.tenant_id = $2)
    FOR UPDATE OF o
"""
_SAVE = """
    UPDATE cases SET status = $2, claimed_by = $3, claimed_at = $4, approved_by = $5,
        approved_at = $6, decided_by = $7, decided_at = $8, reason = $9, evidence = $10,
        evidence_digest = $11
    WHERE id = $1
"""
_SCREENING = "SELECT * FROM screenings WHERE id = $1"
_LISTED = """
    SELECT address, list, action, asset, since, until, added_in FROM list_entries
    WHERE lower(address) = ANY ($1) AND removed_in IS NULL AND tenant_id IN ('', $2)
    ORDER BY list, asset, address
"""
_VERSIONS = """
    SELECT name, version, digest FROM address_lists WHERE tenant_id IN ('', $1)
    ORDER BY tenant_id, name
"""


@dataclass(frozen=True, slots=True)
class OpenCase:
    """A case and its order, both locked until the transaction ends."""

    case: Case
    order: Order


class CaseQueries:
    pool: Any

    async def case(self, tenant_id: TenantId | None, case_id: CaseId) -> Case | None:
        """``tenant_id`` ``None``: whoever's."""
        row = await self.pool.fetchrow(_CASE, case_id, tenant_id)
        return None if row is None else case_from(row)

    async def cases(
        self,
        tenant_id: TenantId | None,
        page: Page,
        *,
        status: CaseStatus | None = None,
        standing: bool = False,
        claimed_by: OfficerId | None = None,
        order_id: str | None = None,
    ) -> Listing[Case]:
        """The riskiest first: by rank, then the newer one. The cursor is a case's id."""
        values: list[Any] = []
        where = []

        def also(condition: str, value: Any) -> None:
            values.append(value)
            where.append(condition.format(f"${len(values)}"))

        if tenant_id is not None:
            also("tenant_id = {}", tenant_id)
        if status is not None:
            also("status = {}", status.value)
        if standing:
            where.append("status IN ('open', 'second')")
        if claimed_by is not None:
            also("claimed_by = {}", claimed_by)
        if order_id is not None:
            also("order_id = {}", order_id)
        at = "(SELECT rank, id FROM cases WHERE id = {})"
        upwards = page.ending_before is not None
        if page.starting_after is not None:
            also(f"(rank, id) < {at}", page.starting_after)
        if page.ending_before is not None:
            also(f"(rank, id) > {at}", page.ending_before)
        way = "ASC" if upwards else "DESC"
        statement = (
            f"SELECT * FROM cases WHERE {' AND '.join(where) or 'true'}"
            f" ORDER BY rank {way}, id {way} LIMIT {page.limit + 1}"
        )
        rows = await self.pool.fetch(statement, *values)
        kept = rows[: page.limit][:: -1 if upwards else 1]
        return Listing([case_from(row) for row in kept], has_more=len(rows) > page.limit)

    async def case_notes(self, case_id: CaseId) -> list[CaseNoteRecord]:
        rows = await self.pool.fetch(_NOTES, case_id)
        return [CaseNoteRecord(r["id"], r["author"], r["text"], r["at"]) for r in rows]

    async def case_evidence(self, case_id: CaseId) -> Mapping[str, Any] | None:
        """What was known when the case was decided; ``None`` while it is not."""
        text = await self.pool.fetchval("SELECT evidence FROM cases WHERE id = $1", case_id)
        return None if text is None else dict(json.loads(text))


async def locked_case_on(connection: Any, tenant_id: TenantId | None, case_id: CaseId) -> OpenCase:
    """Raises ``NotFound``."""
    order = await connection.fetchrow(_LOCK_ORDER, case_id, tenant_id)
    row = await connection.fetchrow(f"{_CASE} FOR UPDATE", case_id, tenant_id)
    if row is None or order is None:
        raise NotFound("no such case")
    return OpenCase(case_from(row), order_from(order))


async def save_case_on(connection: Any, before: OpenCase, after: Case, now: datetime) -> str | None:
    """Store the case, and move its order if it is decided; returns the digest of the evidence.

    Raises :class:`~settlement.errors.CaseDecided` when the order is no longer in review.
    """
    change = order_change(after, before.order, now)
    evidence, digest = None, None
    if change is not None:
        evidence = await _evidence(connection, before)
        digest = hashlib.sha256(evidence.encode()).hexdigest()
    await connection.execute(
        _SAVE,
        after.id,
        after.status.value,
        after.claimed_by,
        after.claimed_at,
        after.approved_by,
        after.approved_at,
        after.decided_by,
        after.decided_at,
        after.reason,
        evidence,
        digest,
    )
    if change is not None and await apply_on(connection, [change], now):
        raise CaseDecided("the order has left the review or the hold")
    return digest


async def add_note_on(
    connection: Any, case: Case, author: OfficerId, text: str, now: datetime
) -> None:
    await connection.execute(_NOTE, new_id("note"), case.id, case.tenant_id, author, text, now)


async def _evidence(connection: Any, opened: OpenCase) -> str:
    """Everything that the officer could see, as one text that is kept as it is."""
    order, case = opened.order, opened.case
    row = await connection.fetchrow(_SCREENING, case.screening_id)
    notes = await connection.fetch(_NOTES, case.id)
    addresses = [address.lower() for address in order.screened]
    listed = await connection.fetch(_LISTED, addresses, order.tenant_id)
    versions = await connection.fetch(_VERSIONS, order.tenant_id)
    found = None if row is None else screening_from(row)
    behind = []
    if found is not None:
        evidence = found.verdict.evidence
        behind = await payments_behind(connection, found.subject.wallet, evidence)
    facts = {
        "order": {
            "id": order.id,
            "wallet": order.wallet,
            "network": order.network,
            "parties": list(order.parties),
            "customer": order.customer,
            "amount_minor": str(order.gross.amount_minor),
            "currency": order.gross.asset.code,
            "token_minor": str(order.token.amount_minor),
            "token": order.token.asset.id,
        },
        "screening": None
        if found is None
        else {
            "id": found.id,
            "digest": found.digest,
            "outcome": found.verdict.outcome.value,
            "score_ppm": found.verdict.score_ppm,
            "reasons": [[r.code, r.detail] for r in found.verdict.reasons],
            "versions": dict(found.verdict.versions),
            "coverage": found.verdict.coverage,
            "evidence": found.verdict.evidence,
            "payments": behind,
        },
        "listed_now": [{name: _plain(value) for name, value in row.items()} for row in listed],
        "list_versions_now": {r["name"]: f"{r['version']}:{r['digest'][:16]}" for r in versions},
        "notes": [[note["author"], note["text"], note["at"].isoformat()] for note in notes],
        "first_approval": case.approved_by,
    }
    return json.dumps(facts, allow_nan=False, sort_keys=True, separators=(",", ":"))


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def case_from(row: Any) -> Case:
    return Case(
        id=row["id"],
        tenant_id=row["tenant_id"],
        order_id=row["order_id"],
        screening_id=row["screening_id"],
        customer=row["customer"],
        network=row["network"],
        wallet=row["wallet"],
        amount=Money(int(row["amount_minor"]), asset_from_id(row["asset"], row["asset_scale"])),
        status=CaseStatus(row["status"]),
        risk_ppm=row["risk_ppm"],
        rank=int(row["rank"]),
        opened_at=row["opened_at"],
        score_ppm=row["score_ppm"],
        claimed_by=row["claimed_by"],
        claimed_at=row["claimed_at"],
        approved_by=row["approved_by"],
        approved_at=row["approved_at"],
        decided_by=row["decided_by"],
        decided_at=row["decided_at"],
        reason=row["reason"],
        closed_because=row["closed_because"],
        evidence_digest=row["evidence_digest"],
    )
