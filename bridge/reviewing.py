"""What officers do, the same from the API and from the console.

Each deed is one transaction: the case, the order that it moves, and a line in the audit trail.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bridge.operating import Actor, Doing
from bridge.storage.actions import Deed
from bridge.storage.cases import OpenCase, add_note_on, locked_case_on, save_case_on
from bridge.storage.lists import add_own_on, remove_own_on
from settlement import case as rules
from settlement.case import Case, CaseId, CaseStatus
from settlement.errors import NotFound
from settlement.ids import TenantId
from settlement.ports.lists import OWN_LISTS, Entry


@dataclass(frozen=True, slots=True)
class Policy:
    """Per currency code the amount in minor units that one officer may approve alone."""

    alone_up_to: dict[str, int]

    def alone_up_to_minor(self, case: Case) -> int:
        return self.alone_up_to.get(case.amount.asset.code, 0)


def claim_case(officer: Actor, case_id: CaseId, now: datetime) -> Doing:
    """Take it from the queue; nobody else can decide it until it is released."""

    async def work(opened: OpenCase) -> tuple[Case, str]:
        return rules.claim(opened.case, officer.id, now), "case.claimed"

    return _doing(officer, case_id, "case.claimed", now, work)


def release_case(officer: Actor, case_id: CaseId, now: datetime, *, any_claim: bool) -> Doing:
    """Give it back; ``any_claim``: an administrator takes it from whoever has it."""

    async def work(opened: OpenCase) -> tuple[Case, str]:
        released = rules.release(opened.case, officer.id, any_claim=any_claim)
        return released, "case.released"

    return _doing(officer, case_id, "case.released", now, work)


def approve_case(
    officer: Actor, case_id: CaseId, reason: str, now: datetime, policy: Policy
) -> Doing:
    """Clear the order, or be the first of two officers who do."""

    async def work(opened: OpenCase) -> tuple[Case, str]:
        alone = policy.alone_up_to_minor(opened.case)
        case = rules.approve(opened.case, officer.id, reason, now, alone_up_to_minor=alone)
        first = case.status is CaseStatus.SECOND
        return case, "case.first_approval" if first else "case.approved"

    return _doing(officer, case_id, "case.approved", now, work, reason)


def reject_case(officer: Actor, case_id: CaseId, reason: str, now: datetime) -> Doing:
    """Give the authorisation back; the order ends as rejected."""

    async def work(opened: OpenCase) -> tuple[Case, str]:
        return rules.reject(opened.case, officer.id, reason, now), "case.rejected"

    return _doing(officer, case_id, "case.rejected", now, work, reason)


def note_case(officer: Actor, case_id: CaseId, text: str, now: datetime) -> Doing:
    """Write something down beside the case, decided or not."""

    async def work(connection: Any) -> Deed:
        opened = await locked_case_on(connection, officer.tenant_id, case_id)
        await add_note_on(connection, opened.case, officer.id, text, now)
        return _deed(officer, opened.case, "case.noted", {"text": text})

    return Doing(Deed(officer.id, "case.noted", case_id, officer.tenant_id), work)


def _doing(
    officer: Actor,
    case_id: CaseId,
    action: str,
    now: datetime,
    decide: Callable[[OpenCase], Awaitable[tuple[Case, str]]],
    reason: str | None = None,
) -> Doing:
    async def work(connection: Any) -> Deed | bool:
        opened = await locked_case_on(connection, officer.tenant_id, case_id)
        after, what = await decide(opened)
        if after == opened.case:
            return False
        digest = await save_case_on(connection, opened, after, now)
        facts = {"reason": reason, "evidence_digest": digest, "order_id": after.order_id}
        return _deed(officer, after, what, {k: v for k, v in facts.items() if v is not None})

    return Doing(Deed(officer.id, action, case_id, officer.tenant_id), work)


def _deed(officer: Actor, case: Case, action: str, data: dict[str, Any]) -> Deed:
    """In the case's own tenant's trail, whoever acts."""
    return Deed(officer.id, action, case.id, case.tenant_id, data)


def add_to_own_list(
    officer: Actor, tenant_id: TenantId, name: str, entry: Entry, reason: str, now: datetime
) -> Doing:
    """Block or allow an address. Raises ``NotFound`` for a list that officers do not write."""
    _check_own(name)

    async def work(connection: Any) -> Deed:
        entry_id = await add_own_on(connection, tenant_id, name, entry, officer.id, now)
        facts = {"address": entry.address, "asset": entry.asset, "reason": reason}
        until = None if entry.until is None else entry.until.isoformat()
        return replace(deed, data={**facts, "entry": entry_id, "until": until})

    deed = Deed(officer.id, "list.entry_added", name, tenant_id)
    return Doing(deed, work)


def remove_from_own_list(
    officer: Actor, tenant_id: TenantId, name: str, entry_id: int, reason: str, now: datetime
) -> Doing:
    """From now on it is no longer listed. Raises ``NotFound``."""
    _check_own(name)

    async def work(connection: Any) -> Deed:
        address = await remove_own_on(connection, tenant_id, name, entry_id, officer.id, now)
        return replace(deed, data={"address": address, "entry": entry_id, "reason": reason})

    deed = Deed(officer.id, "list.entry_removed", name, tenant_id)
    return Doing(deed, work)


def _check_own(name: str) -> None:
    if name not in OWN_LISTS:
        raise NotFound(f"officers write {' and '.join(OWN_LISTS)} only")
