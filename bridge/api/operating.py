"""How every action of an operator is answered: once per idempotency key, written down, announced.

The change, its line in the audit log and the answer that a repeated key gets are one transaction.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from litestar import Request, post

from bridge.api.answer import Answer
from bridge.api.auth import caller_of
from bridge.api.request import IDEMPOTENCY_KEY, REPLAYED, idempotency
from bridge.api.services import services_of
from bridge.operating import Actor, Doing
from bridge.storage.queries import Queries
from bridge.storage.wake import WORK
from settlement.errors import InvalidInput


def operates(path: str, permission: str, summary: str) -> post:
    """The route of an action: it takes a key, and answers 200 with what it acted upon as it is."""
    return post(
        path,
        opt={"permission": permission, "headers": (IDEMPOTENCY_KEY,)},
        status_code=200,
        summary=summary,
        tags=[permission.partition(".")[0]],
    )


def actor_of(request: Request[Any, Any, Any]) -> Actor:
    """The key behind the request."""
    caller = caller_of(request)
    return Actor(caller.login.key.id, caller.tenant_id)


async def act(
    request: Request[Any, Any, Any],
    doing: Doing,
    view: Callable[[Queries], Awaitable[Any]],
) -> Answer[Any]:
    """Do it once; ``view`` reads within the transaction what is answered, now and to repetitions.

    Raises what the work refuses with, and ``InvalidInput`` for a body or a missing key.
    """
    if (await request.body()).strip() not in (b"", b"{}"):
        raise InvalidInput("this action takes no body")
    return await act_with_body(request, doing, view)


async def act_with_body(
    request: Request[Any, Any, Any],
    doing: Doing,
    view: Callable[[Queries], Awaitable[Any]],
) -> Answer[Any]:
    """The same for an action whose body the handler has taken."""
    services, caller = services_of(request), caller_of(request)
    key = await idempotency(request, caller.namespace)

    async def answer(connection: Any) -> Any:
        return msgspec.to_builtins(await view(Queries(connection)))

    response, repeated = await services.queries.perform_once(
        doing.deed, doing.work, answer, key, services.clock.now()
    )
    services.wake.notify(WORK)
    return Answer(response, [REPLAYED] if repeated else [])
