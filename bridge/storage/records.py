"""What reads return beside the core's own types: rows that only the API and the console show."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from settlement.batch import Batch
from settlement.ids import OrderId, TenantId
from settlement.ledger.accounts import Account
from settlement.ledger.entry import EntryState
from settlement.limits import Limits
from settlement.money import Asset
from settlement.ports.payment import ProviderEvent
from settlement.ports.screening import Verdict


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
    """A verdict as it was recorded; ``versions`` names the lists and rules that decided."""

    id: str
    tenant_id: TenantId
    order_id: OrderId
    network: str
    wallet: str
    verdict: Verdict
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


@dataclass(frozen=True, slots=True)
class Settlement:
    """A batch as one tenant may see it: the transaction, and that tenant's own orders in it."""

    batch: Batch
    order_ids: tuple[OrderId, ...]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A provider event that was given up after ``attempts``; ``error`` is the last reason."""

    event: ProviderEvent
    attempts: int
    error: str | None
    received_at: datetime


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """Who did what to which object."""

    id: int
    tenant_id: TenantId | None
    actor: str
    action: str
    object_id: str
    data: Mapping[str, str | int | None]
    at: datetime
