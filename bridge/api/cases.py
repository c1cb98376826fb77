"""Cases: orders in review or held, the riskiest first, and what officers decide about them."""

from typing import Annotated, Any

from litestar import Request, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter

from bridge.api.answer import Answer
from bridge.api.auth import PERMISSIONS, Caller, caller_of
from bridge.api.operating import act, act_with_body, actor_of
from bridge.api.request import IDEMPOTENCY_KEY
from bridge.api.schemas.common import (
    AfterParam,
    BeforeParam,
    LimitParam,
    ListView,
    decoder,
    list_view,
)
from bridge.api.schemas.compliance import (
    CaseView,
    Decide,
    NoteCreate,
    audit_views,
    case_view,
    note_view,
    screening_view,
)
from bridge.api.services import Services, services_of
from bridge.operating import Doing
from bridge.reviewing import (
    Policy,
    approve_case,
    claim_case,
    note_case,
    reject_case,
    release_case,
)
from bridge.storage.pages import Page
from bridge.storage.queries import Queries
from settlement.case import CaseStatus
from settlement.errors import NotFound
from settlement.order import Status
from settlement.schedule import Policy as SchedulePolicy
from settlement.schedule import review_deadline

CaseId = Annotated[str, PathParameter(max_length=100)]
_DECIDES = {"permission": "cases.decide", "headers": (IDEMPOTENCY_KEY,)}
_HISTORY_MAX = 100


@get("/v1/cases", opt={"permission": "cases.read"}, summary="List cases", tags=["cases"])
async def list_cases(
    request: Request[Any, Any, Any],
    limit: LimitParam = 10,
    starting_after: AfterParam = None,
    ending_before: BeforeParam = None,
    status: Annotated[CaseStatus | None, QueryParameter(name="status")] = None,
    standing: Annotated[
        bool, QueryParameter(name="standing", description="Only what is not decided.")
    ] = False,
    claimed_by: Annotated[str | None, QueryParameter(name="claimed_by", max_length=100)] = None,
    order_id: Annotated[str | None, QueryParameter(name="order", max_length=100)] = None,
) -> ListView[CaseView]:
    """The queue: by risk times amount, the highest first. Cursors go down this order."""
    services = services_of(request)
    listing = await services.queries.cases(
        caller_of(request).tenant_id,
        Page(limit, starting_after, ending_before),
        status=status,
        standing=standing,
        claimed_by=claimed_by,
        order_id=order_id,
    )
    return list_view(listing, lambda case: case_view(case, _policy(services).alone_up_to))


@get(
    "/v1/cases/{case_id:str}",
    opt={"permission": "cases.read"},
    summary="Retrieve a case",
    tags=["cases"],
)
async def get_case(request: Request[Any, Any, Any], case_id: CaseId) -> CaseView:
    """With the screening and its evidence, notes and history."""
    services = services_of(request)
    return await _whole(services, services.queries, caller_of(request), case_id)


@post(
    "/v1/cases/{case_id:str}/claim",
    opt=_DECIDES,
    status_code=200,
    summary="Claim a case",
    tags=["cases"],
)
async def claim(request: Request[Any, Any, Any], case_id: CaseId) -> Answer[CaseView]:
    """Take it from the queue: nobody else can decide it until it is released."""
    doing = claim_case(actor_of(request), case_id, services_of(request).clock.now())
    return await act(request, doing, _viewer(request, case_id))


@post(
    "/v1/cases/{case_id:str}/release",
    opt=_DECIDES,
    status_code=200,
    summary="Release a case",
    tags=["cases"],
)
async def release(request: Request[Any, Any, Any], case_id: CaseId) -> Answer[CaseView]:
    """Give it back to the queue. An administrator may release whoever's claim."""
    anyones = caller_of(request).role in PERMISSIONS["cases.release_any"]
    now = services_of(request).clock.now()
    doing = release_case(actor_of(request), case_id, now, any_claim=anyones)
    return await act(request, doing, _viewer(request, case_id))


@post(
    "/v1/cases/{case_id:str}/notes",
    opt={**_DECIDES, **decoder(NoteCreate)},
    summary="Note something on a case",
    tags=["cases"],
)
async def add_note(
    request: Request[Any, Any, Any], case_id: CaseId, data: JSONBody[NoteCreate]
) -> Answer[CaseView]:
    """Kept for good, with the case's evidence when it is decided."""
    doing = note_case(actor_of(request), case_id, data.text, services_of(request).clock.now())
    return await act_with_body(request, doing, _viewer(request, case_id))


@post(
    "/v1/cases/{case_id:str}/approve",
    opt={**_DECIDES, **decoder(Decide)},
    status_code=200,
    summary="Approve a case",
    tags=["cases"],
)
async def approve(
    request: Request[Any, Any, Any], case_id: CaseId, data: JSONBody[Decide]
) -> Answer[CaseView]:
    """The order goes on. Above the deployment's limit the first approval only asks for a second
    officer's; it cannot be the same one. The veto lists and the price are looked at once more
    before the money is captured."""
    services = services_of(request)
    now, policy = services.clock.now(), _policy(services)
    doing: Doing = approve_case(actor_of(request), case_id, data.reason, now, policy)
    return await act_with_body(request, doing, _viewer(request, case_id))


@post(
    "/v1/cases/{case_id:str}/reject",
    opt={**_DECIDES, **decoder(Decide)},
    status_code=200,
    summary="Reject a case",
    tags=["cases"],
)
async def reject(
    request: Request[Any, Any, Any], case_id: CaseId, data: JSONBody[Decide]
) -> Answer[CaseView]:
    """The authorisation is given back and the order ends as rejected."""
    now = services_of(request).clock.now()
    doing = reject_case(actor_of(request), case_id, data.reason, now)
    return await act_with_body(request, doing, _viewer(request, case_id))


def _policy(services: Services) -> Policy:
    return Policy(dict(services.settings.second_officer_above))


def _viewer(request: Request[Any, Any, Any], case_id: str) -> Any:
    services, caller = services_of(request), caller_of(request)
    return lambda queries: _whole(services, queries, caller, case_id)


async def _whole(services: Services, queries: Queries, caller: Caller, case_id: str) -> CaseView:
    case = await queries.case(caller.tenant_id, case_id)
    if case is None:
        raise NotFound("no such case")
    view = case_view(case, _policy(services).alone_up_to)
    order = await queries.order(caller.tenant_id, case.order_id)
    reviewed = order is not None and order.status is Status.IN_REVIEW
    view.decide_before = review_deadline(order, SchedulePolicy()) if order and reviewed else None
    view.screening = None
    if case.screening_id is not None:
        found = await queries.screening(caller.tenant_id, case.screening_id)
        if found is not None:
            view.screening = screening_view(found, await queries.payments_behind(found))
    view.evidence = await queries.case_evidence(case.id)
    view.notes = [note_view(note) for note in await queries.case_notes(case.id)]
    page = Page(_HISTORY_MAX)
    records = await queries.audit_log(caller.tenant_id, page, object_id=case.id)
    view.history = audit_views(records.rows[::-1])
    return view


HANDLERS = (list_cases, get_case, claim, release, add_note, approve, reject)
