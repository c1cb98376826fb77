"""Reads (and rare writes) of the API and the console: everything that moves no money."""

import asyncio
from typing import Any

from bridge.storage.actions import ActionQueries
from bridge.storage.audit import AuditQueries
from bridge.storage.cases import CaseQueries
from bridge.storage.lists import ListQueries
from bridge.storage.operations import OperationQueries
from bridge.storage.operators import OperatorQueries
from bridge.storage.reads import ReadQueries
from bridge.storage.receipts import ReceiptQueries
from bridge.storage.screenings import BehindQueries, PolicyQueries, UnscoredQueries
from bridge.storage.tenants import TenantQueries


class Queries(
    ReadQueries,
    ReceiptQueries,
    TenantQueries,
    OperationQueries,
    OperatorQueries,
    ActionQueries,
    ListQueries,
    CaseQueries,
    AuditQueries,
    PolicyQueries,
    UnscoredQueries,
    BehindQueries,
):
    """Takes the pool of a :class:`~bridge.storage.store.PostgresStore` (``store.pool``)."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.verifying = asyncio.Lock()
