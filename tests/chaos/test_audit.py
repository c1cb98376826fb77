"""The judge of every storm, judged: made evidence, and what must be found in it.

One order was sold, paid and completed, and all three (chain, Stripe, books) say so. Each case
changes one thing of that; the audit must name its kind, and say nothing of what is as it should be.
"""

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.chaos.audit import audit
from tests.chaos.evidence import Evidence, Transfer
from tests.chaos.run import KINDS

WALLET = "0x" + "Aa" * 20
LANE = "0x" + "Bb" * 20
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
GROSS, FEES, TOKENS, STOCK, COINS = 10_000, 400, 96_000_000, 10**12, 10**18


def entry(debit: str, credit: str, asset: str, amount: int) -> dict[str, Any]:
    return {
        "tenant_id": "ten",
        "debit": debit,
        "credit": credit,
        "asset": asset,
        "amount_minor": amount,
        "state": "posted",
    }


def accounts_of(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The running totals that these entries come to."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for row in entries:
        for side, code in (("debits", row["debit"]), ("credits", row["credit"])):
            nothing = {
                "tenant_id": "ten",
                "code": code,
                "asset": row["asset"],
                "debits_posted": 0,
                "credits_posted": 0,
                "debits_pending": 0,
                "credits_pending": 0,
            }
            total = rows.setdefault((code, row["asset"]), nothing)
            total[f"{side}_posted"] += row["amount_minor"]
    return list(rows.values())


def as_it_should_be() -> Evidence:
    """100.00 USD taken, 96 tokens given, 4.00 USD earned, and nothing else ever happened."""
    entries = [
        entry("vault:inventory", "treasury", "local:DUSD", STOCK),
        entry("hot_wallet", "treasury", "local:ETH", COINS),
        entry("stripe:receivable", "customer:payable", "USD", GROSS),
        entry("customer:payable", "income:processing", "USD", FEES),
        entry("customer:payable", "position", "USD", GROSS - FEES),
        entry("position", "vault:inventory", "local:DUSD", TOKENS),
    ]
    order = {
        "id": "ord_1",
        "wallet": WALLET,
        "network": "local",
        "token": "DUSD",
        "customer": "cus_1",
        "payment_intent_id": "pi_1",
        "status": "completed",
        "hold_reason": "none",
        "token_minor": TOKENS,
        "gross_minor": GROSS,
        "batch_id": 1,
        "lines": json.dumps([["principal", GROSS - FEES], ["processing", FEES]]),
    }
    return Evidence(
        transfers=[Transfer(WALLET, TOKENS, "0x01", 7)],
        vault_minor=STOCK - TOKENS,
        vault_wei=0,
        lanes_wei=COINS,
        lane_nonces={LANE: 1},
        intents=[
            {
                "id": "pi_1",
                "status": "succeeded",
                "amount_received": GROSS,
                "metadata": {"order_id": "ord_1"},
            }
        ],
        refunds=[],
        rows={
            "orders": [order],
            "batches": [{"id": 1, "status": "final", "planned_at": NOON}],
            "batch_attempts": [],
            "lanes": [{"address": LANE, "next_nonce": 1}],
            "networks": [{"name": "local", "stop_reason": None}],
            "inbox": [{"id": "evt_1", "type": "payment_intent.succeeded", "state": "done"}],
            "limit_usage": [{"customer": "cus_1", "used": GROSS}],
            "ledger_entries": entries,
            "ledger_accounts": accounts_of(entries),
        },
        events={"ord_1": [{"type": "order.accepted"}, {"type": "order.completed"}]},
        listed={},
        acknowledged=frozenset({"ord_1"}),
    )


def refund(amount: int, *, ours: bool = True, status: str = "succeeded") -> dict[str, Any]:
    metadata = {"order_id": "ord_1"} if ours else {"by": "dashboard"}
    return {
        "id": "re_1",
        "payment_intent": "pi_1",
        "amount": amount,
        "status": status,
        "metadata": metadata,
        "balance_transaction": "txn_1",
    }


def row(table: str, **changes: Any) -> Callable[[Evidence], None]:
    def change(found: Evidence) -> None:
        found.rows[table][0].update(changes)

    return change


def having(name: str, value: Any) -> Callable[[Evidence], None]:
    return lambda found: setattr(found, name, value)


def ended(status: str) -> Callable[[Evidence], None]:
    """The order says so, and so does its history; chain and Stripe are as they were."""

    def change(found: Evidence) -> None:
        row("orders", status=status)(found)
        found.events["ord_1"][-1]["type"] = f"order.{status}"

    return change


def nothing_given(found: Evidence) -> None:
    found.transfers, found.vault_minor = [], STOCK


def both(*changes: Callable[[Evidence], None]) -> Callable[[Evidence], None]:
    def change(found: Evidence) -> None:
        for each in changes:
            each(found)

    return change


def another_intent(status: str) -> Callable[[Evidence], None]:
    def change(found: Evidence) -> None:
        found.intents.append({**found.intents[0], "id": "pi_2", "status": status})

    return change


TWICE = [Transfer(WALLET, TOKENS, "0x01", 7), Transfer(WALLET, TOKENS, "0x02", 8)]
STRANGER = Transfer("0x" + "Cc" * 20, 5, "0x03", 9)
LATE = {WALLET: NOON - timedelta(seconds=1)}

CASES: dict[str, tuple[str, str, Callable[[Evidence], None]]] = {
    "completed, and nobody was paid": ("lost", "shows no transfer", nothing_given),
    "money taken, nothing given, nothing back": (
        "lost",
        "nothing given and nothing refunded",
        both(ended("refunded"), nothing_given),
    ),
    "tokens given, no money taken": (
        "lost",
        "no money taken",
        lambda found: found.intents[0].update(amount_received=0),
    ),
    "somebody without an order was paid": (
        "lost",
        "paid without an order",
        lambda found: found.transfers.append(STRANGER),
    ),
    "an order that we answered with is not stored": (
        "lost",
        "it is not stored",
        having("acknowledged", frozenset({"ord_1", "ord_2"})),
    ),
    "a listed wallet was paid": ("lost", "on the veto list", having("listed", LATE)),
    "expired, and captured all the same": (
        "lost",
        f"{GROSS} was captured",
        both(ended("expired"), nothing_given),
    ),
    "a failed refund that never failed": (
        "lost",
        "no refund failed",
        both(ended("refund_failed"), nothing_given),
    ),
    "two transfers": ("paid_twice", "2 transfers", having("transfers", TWICE)),
    "charged more than the price": (
        "paid_twice",
        "charged 20000",
        lambda found: found.intents[0].update(amount_received=2 * GROSS),
    ),
    "paid and refunded by us": ("paid_twice", "refunded by us", having("refunds", [refund(GROSS)])),
    "more refunded than was taken": (
        "paid_twice",
        "refunded 10001",
        having("refunds", [refund(GROSS + 1, ours=False)]),
    ),
    "refunded, and the chain shows a payment": (
        "paid_twice",
        "refunded, but the chain shows",
        ended("refunded"),
    ),
    "an order on its way for ever": ("stuck", "still submitted", row("orders", status="submitted")),
    "a card that stays held": ("stuck", "left hanging", another_intent("requires_capture")),
    "a batch that nobody decides": ("stuck", "is sent", row("batches", status="sent")),
    "a network that was stopped": ("stuck", "nonce", row("networks", stop_reason="a nonce")),
    "an event that nobody works": ("stuck", "is pending", row("inbox", state="pending")),
    "a nonce that the chain does not have": ("stuck", "chain is at 1", row("lanes", next_nonce=2)),
    "a customer who got no answer": (
        "stuck",
        "no answer",
        having("customer_errors", {3: "no answer"}),
    ),
    "another amount than was owed": (
        "unbalanced",
        "paid 95999999",
        having("transfers", [Transfer(WALLET, TOKENS - 1, "0x01", 7)]),
    ),
    "a history that says otherwise": (
        "unbalanced",
        "its events say",
        lambda found: found.events["ord_1"].pop(),
    ),
    "an intent that no order knows": ("unbalanced", "no order knows", another_intent("succeeded")),
    "a reservation that is never resolved": (
        "unbalanced",
        "pending for ever",
        row("ledger_accounts", debits_pending=1, credits_pending=1),
    ),
    "a vault that holds less than the books": (
        "unbalanced",
        "vault:inventory",
        having("vault_minor", STOCK - TOKENS - 1),
    ),
    "gas that nobody booked": ("unbalanced", "hot_wallet", having("lanes_wei", COINS - 1)),
    "a refund that nobody booked": (
        "unbalanced",
        "stripe:receivable",
        having("refunds", [refund(1, ours=False)]),
    ),
    "totals that are not their entries": (
        "unbalanced",
        "entries",
        lambda found: found.rows["ledger_entries"].pop(),
    ),
    "books that do not sum to zero": (
        "unbalanced",
        "trial balance",
        row("ledger_accounts", debits_posted=STOCK + 1),
    ),
    "a limit that was not given back": ("unbalanced", "limit used", row("limit_usage", used=1)),
}


def test_what_agrees_everywhere_is_found_clean() -> None:
    """Else the storm's four zeros would mean nothing."""
    assert audit(as_it_should_be()) == []


@pytest.mark.parametrize("name", CASES)
def test_what_does_not_agree_is_found(name: str) -> None:
    """By its kind, and in words that say what is wrong."""
    kind, words, change = CASES[name]
    found = deepcopy(as_it_should_be())
    change(found)
    findings = audit(found)
    assert [f for f in findings if f.kind == kind and words in f"{f.about} {f.text}"], findings


def test_a_customer_who_was_refunded_is_nobodys_loss() -> None:
    """The money went back, the tokens stayed: clean, whoever made the refund."""
    found = deepcopy(as_it_should_be())
    both(ended("refunded"), nothing_given, having("refunds", [refund(GROSS)]))(found)
    found.rows["ledger_entries"][3:] = [
        entry("customer:payable", "stripe:receivable", "USD", GROSS)
    ]
    found.rows["ledger_accounts"][:] = accounts_of(list(found.rows["ledger_entries"]))
    assert audit(found) == []


def test_every_kind_of_finding_has_a_case() -> None:
    """A kind that no case brings about may be dead code."""
    assert {kind for kind, _, _ in CASES.values()} == set(KINDS)
