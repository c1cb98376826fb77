"""The audit trail: who did what, and whether nobody has touched it since."""

from typing import Annotated, Any

from litestar import Request, get
from litestar.params import QueryParameter

from bridge.api.auth import caller_of
from bridge.api.schemas.common import AfterParam, BeforeParam, LimitParam, ListView, list_view
from bridge.api.schemas.compliance import (
    AuditView,
    VerificationView,
    audit_view,
    verification_view,
)
from bridge.api.services import services_of
from bridge.api.settlements import number_page


@get(
    "/v1/audit_log",
    opt={"permission": "audit.read"},
    summary="List the audit trail",
    tags=["audit_log"],
)
async def list_audit(
    request: Request[Any, Any, Any],
    limit: LimitParam = 10,
    starting_after: AfterParam = None,
    ending_before: BeforeParam = None,
    object_id: Annotated[str | None, QueryParameter(name="object", max_length=100)] = None,
) -> ListView[AuditView]:
    """Newest first; of one object, such as a case."""
    listing = await services_of(request).queries.audit_log(
        caller_of(request).tenant_id,
        number_page(limit, starting_after, ending_before),
        object_id=object_id,
    )
    return list_view(listing, audit_view)


@get(
    "/v1/audit_log/verification",
    opt={"permission": "audit.read"},
    summary="Verify the audit trail",
    tags=["audit_log"],
)
async def verify_audit(
    request: Request[Any, Any, Any],
    noted: Annotated[
        str | None, QueryParameter(name="noted", max_length=64, description="An earlier head.")
    ] = None,
) -> VerificationView:
    """Recompute every seal of this account's trail."""
    found = await services_of(request).queries.verify_audit(caller_of(request).tenant_id, noted)
    return verification_view(found)


HANDLERS = (list_audit, verify_audit)
