"""Screenings: why a wallet was cleared, sent to review or blocked; and one without an order."""

from typing import Annotated, Any

from litestar import Request, get, post
from litestar.params import JSONBody, PathParameter

from bridge.api.answer import Answer
from bridge.api.auth import PERMISSIONS, Caller, caller_of
from bridge.api.operating import act_with_body, actor_of
from bridge.api.request import IDEMPOTENCY_KEY
from bridge.api.schemas.common import decoder
from bridge.api.schemas.compliance import ScreeningCreate, ScreeningView, screening_view
from bridge.api.services import Services, services_of
from bridge.operating import Doing
from bridge.storage.actions import Deed
from bridge.storage.queries import Queries
from bridge.storage.screenings import save_screening_on
from settlement.errors import NotFound
from settlement.money import Money, parse_decimal
from settlement.ports.screening import Subject, Verdict


@post(
    "/v1/screenings",
    opt={
        "permission": "screenings.create",
        "headers": (IDEMPOTENCY_KEY,),
        **decoder(ScreeningCreate),
    },
    summary="Screen a wallet",
    tags=["screenings"],
)
async def create_screening(
    request: Request[Any, Any, Any], data: JSONBody[ScreeningCreate]
) -> Answer[ScreeningView]:
    """Judge a wallet as an order to it would be judged, without an order. Nothing is reserved: an
    order is screened by itself, before its money is captured."""
    services, caller = services_of(request), caller_of(request)
    subject = _subject(services, caller, data)
    verdict = await services.screening.screen(subject)
    made: list[str] = []
    doing = _record(actor_of(request).id, subject, verdict, made, services)

    async def view(queries: Queries) -> ScreeningView:
        return await _view(queries, caller, made[0])

    return await act_with_body(request, doing, view)


@get(
    "/v1/screenings/{screening_id:str}",
    opt={"permission": "screenings.read"},
    summary="Retrieve a screening",
    tags=["screenings"],
)
async def get_screening(
    request: Request[Any, Any, Any],
    screening_id: Annotated[str, PathParameter(max_length=100)],
) -> ScreeningView:
    """Officers also see the evidence that it was made from."""
    return await _view(services_of(request).queries, caller_of(request), screening_id)


def _subject(services: Services, caller: Caller, data: ScreeningCreate) -> Subject:
    network = services.network(data.network, "network")
    amount = None
    if data.amount is not None:
        fiat = services.fiat(data.amount.currency, "amount.currency")
        minor = parse_decimal(data.amount.amount, fiat.scale, param="amount.amount")
        amount = Money(minor, fiat)
    wallet = network.normalize_address(data.address)
    return Subject(caller.tenant_id, network.name, wallet, data.customer, amount)


def _record(
    actor: str, subject: Subject, verdict: Verdict, made: list[str], services: Services
) -> Doing:
    deed = Deed(actor, "screening.created", subject.wallet, subject.tenant_id)

    async def work(connection: Any) -> Deed:
        now = services.clock.now()
        made.append(await save_screening_on(connection, subject, verdict, now))
        facts = {"outcome": verdict.outcome.value, "digest": verdict.digest}
        return Deed(actor, deed.action, made[0], subject.tenant_id, facts)

    return Doing(deed, work)


async def _view(queries: Queries, caller: Caller, screening_id: str) -> ScreeningView:
    record = await queries.screening(caller.tenant_id, screening_id)
    if record is None:
        raise NotFound("no such screening")
    officer = caller.role in PERMISSIONS["cases.read"]
    return screening_view(record, await queries.payments_behind(record) if officer else None)


HANDLERS = (create_screening, get_screening)
