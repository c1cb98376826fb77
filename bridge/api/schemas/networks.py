"""Networks and their lanes over the wire: what operators watch."""

from datetime import datetime

from msgspec import Struct

from bridge.storage.records import LaneRecord, NetworkRecord, lane_word, network_word


class LaneView(Struct, kw_only=True):
    """A signing account. ``state``: ``running``, ``paused``, or ``low`` (its account cannot pay
    for another transaction, since ``low_since``). ``holder``: the worker that has it now."""

    address: str
    state: str
    next_nonce: int
    open_batches: int
    paused_at: datetime | None
    paused_by: str | None
    low_since: datetime | None
    holder: str | None
    leased_until: datetime | None


class HeadView(Struct, kw_only=True):
    """The newest block and the newest final one that a worker saw, and since when."""

    number: int
    final_number: int
    seen_at: datetime


class NetworkView(Struct, kw_only=True):
    """``state``: ``running``, ``paused``, ``stopped``, or ``unregistered`` until a worker has
    started it. ``waiting`` counts your authorised and captured orders by ``hold_reason``.
    ``instance`` counts the chains that were seen under this name."""

    id: str
    object: str = "network"
    state: str
    stop_reason: str | None = None
    stopped_at: datetime | None = None
    paused_at: datetime | None = None
    paused_by: str | None = None
    instance: int | None = None
    vault: str | None = None
    head: HeadView | None = None
    lanes: list[LaneView]
    waiting: dict[str, int]


class NetworkList(Struct, kw_only=True):
    object: str = "list"
    data: list[NetworkView]
    has_more: bool = False


def network_view(name: str, record: NetworkRecord | None) -> NetworkView:
    """``None``: deployed, and no worker has registered it yet."""
    if record is None:
        return NetworkView(id=name, state="unregistered", lanes=[], waiting={})
    state = record.state
    return NetworkView(
        id=name,
        state=network_word(state.stop_reason, state.paused_at),
        stop_reason=state.stop_reason,
        stopped_at=record.stopped_at,
        paused_at=state.paused_at,
        paused_by=state.paused_by,
        instance=state.instance,
        vault=state.identity.vault_address,
        head=_head(record),
        lanes=[_lane(lane) for lane in record.lanes],
        waiting={reason.value: count for reason, count in record.waiting.items()},
    )


def _head(record: NetworkRecord) -> HeadView | None:
    state = record.state
    if state.head_number is None or state.final_number is None or state.head_at is None:
        return None
    return HeadView(
        number=state.head_number, final_number=state.final_number, seen_at=state.head_at
    )


def _lane(record: LaneRecord) -> LaneView:
    lane, held = record.state.lane, record.state
    return LaneView(
        address=lane.address,
        state=lane_word(lane.paused_at, lane.low_since),
        next_nonce=lane.next_nonce,
        open_batches=record.open_batches,
        paused_at=lane.paused_at,
        paused_by=held.paused_by,
        low_since=lane.low_since,
        holder=held.holder,
        leased_until=held.leased_until,
    )
