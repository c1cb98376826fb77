"""Every table as SQLModel: the schema in one place, repeating the guards of the core.

The hot paths are SQL statements in the neighbouring files; these classes exist so that the schema
can be read, checked against the migrations, and used from a console.
"""

from sqlmodel import SQLModel

from bridge.storage.tables.batches import Batch, BatchAttempt, Lane, Network
from bridge.storage.tables.cases import Case, CaseNote
from bridge.storage.tables.escrows import Escrow, EscrowAction
from bridge.storage.tables.inbox import AuditHead, AuditLog, Inbox
from bridge.storage.tables.ledger import LedgerAccount, LedgerEntry
from bridge.storage.tables.lists import AddressList, ListEntry, ListVersion
from bridge.storage.tables.orders import (
    IdempotencyKey,
    LimitUsage,
    Order,
    OrderEvent,
    Quote,
    Screening,
    ScreeningPolicy,
)
from bridge.storage.tables.tenants import ApiKey, Tenant, TenantLimit
from chain.gas.tables import GasBlock, GasDecision, GasModel, GasOutlook
from compliance_graph.schema import GraphBlock, GraphNode, GraphSource, GraphTransfer

metadata = SQLModel.metadata

__all__ = [
    "AddressList",
    "ApiKey",
    "AuditHead",
    "AuditLog",
    "Batch",
    "BatchAttempt",
    "Case",
    "CaseNote",
    "Escrow",
    "EscrowAction",
    "GasBlock",
    "GasDecision",
    "GasModel",
    "GasOutlook",
    "GraphBlock",
    "GraphNode",
    "GraphSource",
    "GraphTransfer",
    "IdempotencyKey",
    "Inbox",
    "Lane",
    "LedgerAccount",
    "LedgerEntry",
    "LimitUsage",
    "ListEntry",
    "ListVersion",
    "Network",
    "Order",
    "OrderEvent",
    "Quote",
    "Screening",
    "ScreeningPolicy",
    "Tenant",
    "TenantLimit",
    "metadata",
]
