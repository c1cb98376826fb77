"""Judges what the outside says. Pure: evidence in, findings out.

``lost``        value that is gone: taken and never given, given and never taken, or given to
                somebody who must not have it
``paid_twice``  delivered twice, charged twice, or both delivered and refunded
``stuck``       something that nobody will ever finish by itself
``unbalanced``  ledger, chain and Stripe do not say the same, to the last unit
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.chaos.evidence import Evidence, Transfer

FINAL = {"completed", "expired", "canceled", "rejected", "refunded", "refund_failed"}
NOTHING_HAPPENED = {"expired", "canceled", "rejected"}
DECIDED = {"final", "reverted", "cancelled"}
PLATFORM = "platform"


@dataclass(frozen=True, slots=True)
class Finding:
    """``kind``: one of the four; ``about``: an order's id, or what else it is about."""

    kind: str
    about: str
    text: str


@dataclass
class Card:
    """What Stripe holds for one order. Amounts in cents."""

    intents: list[dict[str, Any]]
    received: int = 0
    refunds: list[dict[str, Any]] | None = None

    @property
    def by_us(self) -> list[dict[str, Any]]:
        return [r for r in self.standing if "order_id" in (r.get("metadata") or {})]

    @property
    def standing(self) -> list[dict[str, Any]]:
        return [r for r in self.refunds or [] if r["status"] not in ("failed", "canceled")]

    @property
    def refunded(self) -> int:
        return sum(r["amount"] for r in self.standing)

    @property
    def holds(self) -> list[str]:
        return [i["id"] for i in self.intents if i["status"] == "requires_capture"]


def audit(evidence: Evidence) -> list[Finding]:
    """Every finding, orders first."""
    cards, findings = _cards(evidence)
    by_wallet: dict[str, list[Transfer]] = defaultdict(list)
    for transfer in evidence.transfers:
        by_wallet[transfer.wallet].append(transfer)
    orders = evidence.rows["orders"]
    for order in orders:
        card = cards.get(order["id"], Card([]))
        findings += _order(order, card, by_wallet.pop(order["wallet"], []), evidence)
    for wallet, transfers in by_wallet.items():
        findings.append(Finding("lost", wallet, f"paid without an order: {transfers}"))
    for order_id in evidence.acknowledged - {order["id"] for order in orders}:
        findings.append(Finding("lost", order_id, "our API answered with it; it is not stored"))
    for number, error in evidence.customer_errors.items():
        findings.append(Finding("stuck", f"customer {number}", error))
    findings += [*_engine(evidence), *_ledger(evidence, cards), *_totals(evidence)]
    return findings


def _cards(evidence: Evidence) -> tuple[dict[str, Card], list[Finding]]:
    cards: dict[str, Card] = {}
    findings = []
    known = {order["payment_intent_id"] for order in evidence.rows["orders"]}
    refunds = defaultdict(list)
    for refund in evidence.refunds:
        if refund.get("balance_transaction"):  # else a released hold, not money
            refunds[refund["payment_intent"]].append(refund)
    for intent in evidence.intents:
        order_id = (intent["metadata"] or {}).get("order_id", "?")
        card = cards.setdefault(order_id, Card([], refunds=[]))
        card.intents.append(intent)
        card.received += intent["amount_received"]
        card.refunds = [*(card.refunds or []), *refunds[intent["id"]]]
        if intent["id"] not in known and intent["status"] != "canceled":
            text = f"Stripe has {intent['id']} ({intent['status']}) that no order knows"
            findings.append(Finding("unbalanced", order_id, text))
    return cards, findings


def _order(
    order: Mapping[str, Any], card: Card, transfers: list[Transfer], evidence: Evidence
) -> Iterator[Finding]:
    def found(kind: str, text: str) -> Finding:
        return Finding(kind, order["id"], text)

    status = order["status"]
    if status not in FINAL:
        yield found("stuck", f"still {status} (hold {order['hold_reason']})")
    yield from (found(*told) for told in _exactly_once(order, card, transfers))
    yield from (found(*told) for told in _as_it_says(order, card, transfers))
    for transfer in transfers:
        if transfer.amount_minor != order["token_minor"]:
            text = f"paid {transfer.amount_minor}, owed {order['token_minor']}"
            yield found("unbalanced", text)
        yield from (found("lost", t) for t in _vetoed(order, evidence))
    if status in FINAL and card.holds:
        yield found("stuck", f"authorisation left hanging: {card.holds}")
    told = [event["type"] for event in evidence.events.get(order["id"], [])]
    if told.count(f"order.{status}") != 1:
        yield found("unbalanced", f"is {status}, but its events say {told}")


def _exactly_once(
    order: Mapping[str, Any], card: Card, transfers: list[Transfer]
) -> Iterator[tuple[str, str]]:
    """Of every captured order: one transfer or its money back, never both, never none."""
    if len(transfers) > 1:
        yield "paid_twice", f"{len(transfers)} transfers: {transfers}"
    if card.received > order["gross_minor"]:
        yield "paid_twice", f"charged {card.received} of {order['gross_minor']}"
    if transfers and card.by_us:
        yield "paid_twice", f"paid and refunded by us: {card.by_us}"
    if transfers and not card.received:
        yield "lost", "tokens given, no money taken"
    if card.refunded > card.received:
        yield "paid_twice", f"refunded {card.refunded} of {card.received}"
    owed = card.received - card.refunded
    if not transfers and owed > 0 and order["status"] in FINAL - {"refund_failed"}:
        yield "lost", f"{owed} taken, nothing given and nothing refunded"


def _as_it_says(
    order: Mapping[str, Any], card: Card, transfers: list[Transfer]
) -> Iterator[tuple[str, str]]:
    """What the order claims is what happened."""
    status = order["status"]
    if status == "completed" and not transfers:
        yield "lost", "completed, but the chain shows no transfer"
    if status in FINAL - {"completed"} and transfers:
        yield "paid_twice", f"{status}, but the chain shows {transfers}"
    if status in NOTHING_HAPPENED and card.received:
        yield "lost", f"{status}, but {card.received} was captured"
    if status == "refund_failed":
        failed = [r for r in card.refunds or [] if r["status"] == "failed"]
        if not failed:
            yield "lost", "refund_failed, though no refund failed at Stripe"


def _vetoed(order: Mapping[str, Any], evidence: Evidence) -> Iterator[str]:
    since = evidence.listed.get(order["wallet"])
    planned = {batch["id"]: batch["planned_at"] for batch in evidence.rows["batches"]}
    if since is None:
        return
    at = planned.get(order["batch_id"])
    if at is not None and at > since:
        yield f"paid although it was on the veto list since {since}, and its batch is of {at}"


def _engine(evidence: Evidence) -> Iterator[Finding]:
    """Nothing may wait for something that never comes."""
    for batch in evidence.rows["batches"]:
        if batch["status"] not in DECIDED:
            yield Finding("stuck", f"batch {batch['id']}", f"is {batch['status']}")
    for network in evidence.rows["networks"]:
        if network["stop_reason"] is not None:
            yield Finding("stuck", f"network {network['name']}", network["stop_reason"])
    for event in evidence.rows["inbox"]:
        if event["state"] != "done":
            yield Finding("stuck", event["id"], f"{event['type']} is {event['state']}")
    for lane in evidence.rows["lanes"]:
        at = evidence.lane_nonces.get(lane["address"])
        if at != lane["next_nonce"]:
            text = f"our next nonce is {lane['next_nonce']}, the chain is at {at}"
            yield Finding("stuck", f"lane {lane['address']}", text)


def _ledger(evidence: Evidence, cards: Mapping[str, Card]) -> Iterator[Finding]:
    """The books against Stripe and the chain, account by account, and against themselves."""
    posted: Counter[tuple[str, str]] = Counter()
    for row in evidence.rows["ledger_accounts"]:
        key = (row["code"], row["asset"])
        posted[key] += int(row["debits_posted"] - row["credits_posted"])
        left = row["debits_pending"], row["credits_pending"]
        if any(left):
            about = f"{row['tenant_id']} {row['code']} {row['asset']}"
            yield Finding("unbalanced", about, f"pending for ever: {left}")
    owed = _owed(evidence, cards)
    expected = {
        ("stripe:receivable", "USD"): sum(c.received - c.refunded for c in cards.values()),
        ("customer:payable", "USD"): -owed,
        ("vault:inventory", "local:DUSD"): evidence.vault_minor,
        ("vault:inventory", "local:ETH"): evidence.vault_wei,
        ("hot_wallet", "local:ETH"): evidence.lanes_wei,
        **_income(evidence),
    }
    for key, amount in expected.items():
        if posted[key] != amount:
            text = f"the ledger says {posted[key]}, outside it is {amount}"
            yield Finding("unbalanced", " ".join(key), text)
    yield from _entries(evidence)


def _owed(evidence: Evidence, cards: Mapping[str, Card]) -> int:
    """What customers are still owed: money whose refund the bank refused for good."""
    failed = [o["id"] for o in evidence.rows["orders"] if o["status"] == "refund_failed"]
    return sum(cards[i].received - cards[i].refunded for i in failed if i in cards)


def _income(evidence: Evidence) -> dict[tuple[str, str], int]:
    """What the lines of completed orders add up to (credit-normal: negative)."""
    names = {kind: f"income:{kind}" for kind in ("processing", "network", "spread", "rounding")}
    names["principal"] = "position"
    sums: Counter[tuple[str, str]] = Counter({(name, "USD"): 0 for name in names.values()})
    sums.update({("position", f"local:{token}"): 0 for token in ("DUSD", "ETH")})
    for order in evidence.rows["orders"]:
        if order["status"] == "completed":
            sums["position", f"{order['network']}:{order['token']}"] += int(order["token_minor"])
            for kind, amount in json.loads(order["lines"]):
                sums[names[kind], "USD"] -= amount
    return dict(sums)


def _entries(evidence: Evidence) -> Iterator[Finding]:
    """The running totals are the sum of the entries, and every asset sums to zero."""
    sums: Counter[tuple[str, str, str]] = Counter()
    for entry in evidence.rows["ledger_entries"]:
        if entry["state"] == "posted":
            amount = int(entry["amount_minor"])
            sums[entry["tenant_id"], entry["debit"], entry["asset"]] += amount
            sums[entry["tenant_id"], entry["credit"], entry["asset"]] -= amount
    trial: Counter[str] = Counter()
    for row in evidence.rows["ledger_accounts"]:
        total = int(row["debits_posted"] - row["credits_posted"])
        trial[row["asset"]] += total
        key = (row["tenant_id"], row["code"], row["asset"])
        if sums[key] != total:
            yield Finding("unbalanced", " ".join(key), f"total {total}, entries {sums[key]}")
    for asset, total in trial.items():
        if total:
            yield Finding("unbalanced", asset, f"trial balance is {total}")


def _totals(evidence: Evidence) -> Iterator[Finding]:
    """What counts against customers' limits is what was not given back."""
    counted: Counter[str] = Counter()
    for order in evidence.rows["orders"]:
        if order["status"] not in NOTHING_HAPPENED:
            counted[order["customer"]] += int(order["gross_minor"])
    for row in evidence.rows["limit_usage"]:
        if row["used"] != counted[row["customer"]]:
            text = f"limit used {row['used']}, orders say {counted[row['customer']]}"
            yield Finding("unbalanced", row["customer"], text)
