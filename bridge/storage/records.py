"""What reads return beside the core's own types: rows that only the API and the console show."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from bridge.storage.fees import FeeReport, Outlook
from settlement.batch import Batch, BatchStatus
from settlement.ids import OrderId, TenantId
from settlement.ledger.accounts import Account
from settlement.ledger.entry import EntryState
from settlement.limits import Limits
from settlement.money import Asset
from settlement.order import HoldReason
from settlement.ports.lists import Entry
from settlement.ports.payment import ProviderEvent
from settlement.ports.screening import Subject, Verdict
from settlement.ports.store import LaneState, NetworkState


class KeyKind(StrEnum):
    SECRET = "secret"
    PUBLISHABLE = "publishable"


class Role(StrEnum):
    MERCHANT = "merchant"
    COMPLIANCE = "compliance"
    OPERATOR = "operator"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Tenant:
    """One merchant; ``limits`` by currency code. Test and live are two tenants."""

    id: TenantId
    name: str
    livemode: bool
    created_at: datetime
    limits: Mapping[str, Limits] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret: ``prefix`` and ``last4`` are what may be shown."""

    id: str
    tenant_id: TenantId
    kind: KeyKind
    role: Role
    prefix: str
    last4: str
    allowed_origins: tuple[str, ...]
    return_urls: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Login:
    """What one key lookup answers: who asks, and the bounds that apply."""

    key: ApiKey
    tenant: Tenant


@dataclass(frozen=True, slots=True)
class ScreeningRecord:
    """A verdict as it was recorded. ``digest`` is the verdict's own at that time; ``None`` for
    those from before it was kept."""

    id: str
    subject: Subject
    verdict: Verdict
    digest: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One stored entry; ``source`` is an order id, ``batch:<id>`` or an own key."""

    id: int
    tenant_id: TenantId
    source: str
    event: str
    line: int
    debit: Account
    credit: Account
    asset: Asset
    amount_minor: int
    state: EntryState
    created_at: datetime


def network_word(stop_reason: str | None, paused_at: datetime | None) -> str:
    """``stopped`` (nothing is signed), ``paused`` (nothing new is planned) or ``running``."""
    if stop_reason is not None:
        return "stopped"
    return "running" if paused_at is None else "paused"


def lane_word(paused_at: datetime | None, low_since: datetime | None) -> str:
    """``paused``, ``low`` (its account cannot pay for another transaction) or ``running``."""
    if paused_at is not None:
        return "paused"
    return "running" if low_since is None else "low"


@dataclass(frozen=True, slots=True)
class Settlement:
    """A batch and those of its orders that the reader may see: one tenant's, or everybody's.

    ``head_number`` is the newest block that a worker saw on the batch's chain.
    """

    batch: Batch
    order_ids: tuple[OrderId, ...]
    head_number: int | None
    network_state: str
    lane_state: str

    @property
    def confirmations(self) -> int | None:
        """Blocks that hold or follow the transaction; ``None`` while no block holds it."""
        block = self.batch.block_number
        if block is None or self.head_number is None:
            return None
        return max(self.head_number - block + 1, 1)


@dataclass(frozen=True, slots=True)
class LaneRecord:
    """A lane, and how many of its batches have not come to their end."""

    state: LaneState
    open_batches: int


@dataclass(frozen=True, slots=True)
class NetworkRecord:
    """A network as operators see it; ``waiting`` counts orders by the reason why they wait."""

    state: NetworkState
    stopped_at: datetime | None
    lanes: tuple[LaneRecord, ...]
    waiting: Mapping[HoldReason, int]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Authorised or captured orders that do not go on; ``oldest_at`` is an authorisation."""

    network: str
    reason: HoldReason
    orders: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True)
class OpenBatches:
    """Batches of one status, ``attempts`` over all of them, ``attempts_most`` of one."""

    network: str
    status: BatchStatus
    batches: int
    oldest_at: datetime
    attempts: int
    attempts_most: int


@dataclass(frozen=True, slots=True)
class ListAge:
    """When everybody's list was last looked at, and when its newest version was taken over."""

    name: str
    looked_at: datetime
    version_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """Where everything stands now, for a monitor. ``workers`` counts those seen lately."""

    networks: tuple[NetworkState, ...]
    lanes: tuple[LaneRecord, ...]
    batches: tuple[OpenBatches, ...]
    waiting: tuple[Waiting, ...]
    workers: Mapping[str, int]
    dead_letters: int
    oldest_event_at: datetime | None
    fees: Mapping[str, tuple[Outlook, FeeReport]] = field(default_factory=dict)
    lists: tuple[ListAge, ...] = ()
    cases: int = 0
    oldest_case_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A provider event that was given up after ``attempts``; ``error`` is the last reason."""

    event: ProviderEvent
    attempts: int
    error: str | None
    received_at: datetime


@dataclass(frozen=True, slots=True)
class ListEntryRecord:
    """One entry with the versions that named it first and no longer."""

    id: int
    entry: Entry
    added_in: int
    removed_in: int | None


@dataclass(frozen=True, slots=True)
class ListVersionRecord:
    """One version of a list: what it changed, and who took it over."""

    list: str
    version: int
    digest: str
    format: str
    published_on: date | None
    entries: int
    added: int
    removed: int
    unreadable: int
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """Who did what to which object. ``place`` and ``hash``: where it stands in its chain, and the
    seal over it and all before."""

    id: int
    tenant_id: TenantId | None
    actor: str
    action: str
    object_id: str
    data: Mapping[str, str | int | None]
    at: datetime
    place: int
    hash: str


@dataclass(frozen=True, slots=True)
class CaseNoteRecord:
    """What an officer wrote down about a case."""

    id: str
    author: str
    text: str
    at: datetime
