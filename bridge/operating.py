"""What operators do, the same from the API and from the console.

Each deed is a change within one transaction together with its line in the audit log
(:mod:`bridge.storage.actions`). None of them moves money: they say what a worker shall do next,
and the worker's own guards decide whether it may.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.storage.actions import Deed, Work
from bridge.storage.calls import ask_again_on, ask_on
from bridge.storage.lanes import pause_lane_on, resume_lane_on
from bridge.storage.networks import pause_network_on, resume_network_on, start_network_on
from bridge.storage.queries import Queries
from bridge.storage.records import Settlement
from settlement.errors import NotFound, NotOpen
from settlement.ids import TenantId


@dataclass(frozen=True, slots=True)
class Actor:
    """The id of an API key and its tenant, or the console, which sees every tenant's batches."""

    id: str
    tenant_id: TenantId | None = None


@dataclass(frozen=True, slots=True)
class Doing:
    """A deed and the change itself, which takes the transaction's connection."""

    deed: Deed
    work: Work


async def _bump(connection: Any, batch_id: int, now: datetime) -> bool:
    return await ask_on(connection, batch_id, now, cancel=False)


async def _cancel(connection: Any, batch_id: int, now: datetime) -> bool:
    return await ask_on(connection, batch_id, now, cancel=True)


async def _retry(connection: Any, batch_id: int, _now: datetime) -> bool:
    return await ask_again_on(connection, batch_id)


_ASKS: Mapping[str, tuple[str, Callable[[Any, int, datetime], Awaitable[bool]]]] = {
    "bump": ("settlement.bump_asked", _bump),
    "cancel": ("settlement.cancel_asked", _cancel),
    "retry": ("settlement.retry_asked", _retry),
}


def ask_settlement(actor: Actor, verb: str, batch_id: int, now: datetime) -> Doing:
    """``bump`` (bid more), ``cancel`` (outbid it by a transaction that pays nobody) or ``retry``
    (say the stored bytes again at once).

    The work raises ``NotFound`` for a batch that the actor may not see and
    :class:`~settlement.errors.NotOpen` for one that a final block has decided.
    """

    action, ask = _ASKS[verb]

    async def work(connection: Any) -> bool:
        found = await settlement_of(Queries(connection), actor, batch_id)
        if not await ask(connection, batch_id, now):
            raise NotOpen(f"settlement {batch_id} is {found.batch.status}: it is decided")
        return True

    return Doing(Deed(actor.id, action, str(batch_id), actor.tenant_id), work)


async def settlement_of(queries: Queries, actor: Actor, batch_id: int) -> Settlement:
    """The batch as the actor may see it. Raises ``NotFound``."""
    if actor.tenant_id is None:
        found = await queries.any_settlement(batch_id)
    else:
        found = await queries.settlement(actor.tenant_id, batch_id)
    if found is None:
        raise NotFound("no such settlement")
    return found


def switch_network(actor: Actor, network: str, now: datetime, *, pause: bool) -> Doing:
    """Plan nothing new on the network, or plan again. The work raises ``NotFound``."""

    async def work(connection: Any) -> bool:
        if not await Queries(connection).networks(network):
            raise NotFound(f"{network} is not registered: no worker has started it yet")
        if pause:
            return await pause_network_on(connection, network, now, by=actor.id)
        return await resume_network_on(connection, network, now)

    action = "network.paused" if pause else "network.resumed"
    return Doing(Deed(actor.id, action, network, actor.tenant_id), work)


def switch_lane(actor: Actor, network: str, address: str, now: datetime, *, pause: bool) -> Doing:
    """Plan nothing new on the lane, or plan again. The work raises ``NotFound``."""

    async def work(connection: Any) -> bool:
        known = await Queries(connection).networks(network)
        if address not in {lane.state.lane.address for found in known for lane in found.lanes}:
            raise NotFound(f"{network} has no lane {address}")
        if pause:
            return await pause_lane_on(connection, network, address, now, by=actor.id)
        return await resume_lane_on(connection, network, address, now)

    action = "lane.paused" if pause else "lane.resumed"
    return Doing(Deed(actor.id, action, f"{network}:{address}", actor.tenant_id), work)


def start_network(actor: Actor, network: str, reason: str) -> Doing:
    """Take back the stop that was made for ``reason``; one for another reason stays."""

    async def work(connection: Any) -> bool:
        return await start_network_on(connection, network, reason)

    deed = Deed(actor.id, "network.started", network, actor.tenant_id, {"stop_reason": reason})
    return Doing(deed, work)
