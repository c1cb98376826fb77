"""Screenings: why a wallet was cleared, sent to review or blocked."""

from typing import Annotated, Any

from litestar import Request, get
from litestar.params import PathParameter

from bridge.api.auth import caller_of
from bridge.api.schemas.settlements import ScreeningView, screening_view
from bridge.api.services import services_of
from settlement.errors import NotFound


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
    record = await services_of(request).queries.screening(
        caller_of(request).tenant_id, screening_id
    )
    if record is None:
        raise NotFound("no such screening")
    return screening_view(record)


HANDLERS = (get_screening,)
