"""Settlements (batches) and the ledger over the wire: what operators and auditors
read."""

from datetime import datetime

from msgspec import Struct

from bridge.storage.records import LedgerEntry, Settlement
from settlement.batch import Attempt
from settlement.money import format_minor
from settlement.ports.store import Balance


class AttemptView(Struct, kw_only=True):
    """One signed transaction; several share a nonce and at most one is mined.

    ``cancels``: it pays nobody and only uses up the nonce.
    """

    transaction: str
    nonce: int
    max_fee_wei: str
    priority_fee_wei: str
    gas_limit: int
    signed_at: datetime
    sent_at: datetime | None
    cancels: bool


class SettlementView(Struct, kw_only=True):
    """A batch as this tenant may see it: the transaction, and its own orders in it.

    ``kind``: ``payout`` (through the vault), ``single`` (straight from the lane's account) or
    ``call``. ``confirmations`` counts the block that holds it and those after it, as far as a
    worker has seen; only a final block decides. ``network_state`` and ``lane_state`` say whether
    anything there is signed (``stopped``: no) or planned (``paused``: no), or unpayable (``low``).
    """

    id: str
    object: str = "settlement"
    status: str
    kind: str
    network: str
    asset: str
    nonce: int
    from_address: str
    merkle_root: str
    transaction: str | None
    block_number: int | None
    block_hash: str | None
    confirmations: int | None
    orders: list[str]
    attempts: list[AttemptView]
    planned_at: datetime
    bump_asked_at: datetime | None
    cancel_asked_at: datetime | None
    network_state: str
    lane_state: str


class AccountView(Struct, kw_only=True):
    """One account's totals in one asset's minor units. ``balance`` is debits minus credits."""

    account: str
    asset: str
    debits_posted: str
    credits_posted: str
    debits_pending: str
    credits_pending: str
    balance_minor: str
    balance: str


class AssetTotals(Struct, kw_only=True):
    """Over all accounts of the tenant; each ``difference`` is zero, or the books are broken."""

    asset: str
    debits_posted: str
    credits_posted: str
    difference_posted: str
    difference_pending: str


class TrialBalance(Struct, kw_only=True):
    object: str = "trial_balance"
    data: list[AccountView]
    totals: list[AssetTotals]
    balanced: bool


class EntryView(Struct, kw_only=True):
    """``amount`` of ``asset`` from ``credit`` to ``debit``."""

    id: str
    object: str = "ledger_entry"
    source: str
    event: str
    debit: str
    credit: str
    asset: str
    amount: str
    amount_minor: str
    state: str
    created_at: datetime


def settlement_view(settlement: Settlement) -> SettlementView:
    batch = settlement.batch
    return SettlementView(
        id=str(batch.id),
        status=batch.status,
        kind=batch.kind,
        network=batch.network,
        asset=batch.asset.code,
        nonce=batch.nonce,
        from_address=batch.lane_address,
        merkle_root=batch.root,
        transaction=batch.mined_ref,
        block_number=batch.block_number,
        block_hash=batch.block_hash,
        confirmations=settlement.confirmations,
        orders=list(settlement.order_ids),
        attempts=[_attempt(attempt) for attempt in batch.attempts],
        planned_at=batch.planned_at,
        bump_asked_at=batch.bump_asked_at,
        cancel_asked_at=batch.cancel_asked_at,
        network_state=settlement.network_state,
        lane_state=settlement.lane_state,
    )


def _attempt(attempt: Attempt) -> AttemptView:
    signed = attempt.transaction
    return AttemptView(
        transaction=signed.ref,
        nonce=signed.nonce,
        max_fee_wei=str(signed.fees.max_fee_wei),
        priority_fee_wei=str(signed.fees.priority_fee_wei),
        gas_limit=signed.gas_limit,
        signed_at=attempt.signed_at,
        sent_at=attempt.sent_at,
        cancels=attempt.cancels,
    )


def trial_balance(balances: list[Balance]) -> TrialBalance:
    """Accounts, and per asset the totals whose differences must be zero."""
    by_asset: dict[str, list[Balance]] = {}
    for balance in balances:
        by_asset.setdefault(balance.asset.id, []).append(balance)
    totals = [_totals(asset, rows) for asset, rows in sorted(by_asset.items())]
    return TrialBalance(
        data=[_account(balance) for balance in balances],
        totals=totals,
        balanced=all(t.difference_posted == "0" == t.difference_pending for t in totals),
    )


def _account(balance: Balance) -> AccountView:
    net = balance.debits_posted - balance.credits_posted
    return AccountView(
        account=balance.account,
        asset=balance.asset.id,
        debits_posted=str(balance.debits_posted),
        credits_posted=str(balance.credits_posted),
        debits_pending=str(balance.debits_pending),
        credits_pending=str(balance.credits_pending),
        balance_minor=str(net),
        balance=format_minor(net, balance.asset.scale),
    )


def _totals(asset: str, rows: list[Balance]) -> AssetTotals:
    debits = sum(row.debits_posted for row in rows)
    credits = sum(row.credits_posted for row in rows)
    pending = sum(row.debits_pending - row.credits_pending for row in rows)
    return AssetTotals(
        asset=asset,
        debits_posted=str(debits),
        credits_posted=str(credits),
        difference_posted=str(debits - credits),
        difference_pending=str(pending),
    )


def entry_view(entry: LedgerEntry) -> EntryView:
    return EntryView(
        id=str(entry.id),
        source=entry.source,
        event=entry.event,
        debit=entry.debit,
        credit=entry.credit,
        asset=entry.asset.id,
        amount=format_minor(entry.amount_minor, entry.asset.scale),
        amount_minor=str(entry.amount_minor),
        state=entry.state,
        created_at=entry.created_at,
    )
