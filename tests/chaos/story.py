"""The whole story of what an audit complains about: events, batch, attempts, intent."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.chaos.audit import Finding
from tests.chaos.customers import Customer
from tests.chaos.evidence import Evidence

STORIES_MAX = 12


def tell(
    evidence: Evidence, findings: list[Finding], customers: list[Customer], folder: Path
) -> list[str]:
    """One text per order with a finding; all of them are also written into ``folder``."""
    by_id = {order["id"]: order for order in evidence.rows["orders"]}
    about = list(dict.fromkeys(f.about for f in findings if f.about in by_id))
    stories = []
    for order_id in about[:STORIES_MAX]:
        buyer = next((c for c in customers if c.order_id == order_id), None)
        stories.append("\n".join(_lines(evidence, findings, by_id[order_id], buyer)))
    if stories:
        (folder / "stories.txt").write_text("\n\n".join(stories) + "\n")
    return stories


def _lines(
    evidence: Evidence, findings: list[Finding], order: dict[str, Any], buyer: Customer | None
) -> Iterator[str]:
    yield f"== {order['id']} ({buyer.kind if buyer else '?'}), {order['wallet']}"
    for finding in findings:
        if finding.about == order["id"]:
            yield f"   {finding.kind}: {finding.text}"
    wanted = ("status", "hold_reason", "reason", "epoch", "attempts", "due_at", "batch_id")
    yield "   order: " + ", ".join(f"{name}={order[name]}" for name in wanted)
    for event in evidence.events.get(order["id"], []):
        yield f"   {event['created_at']:%H:%M:%S.%f} {event['type']} {event['data']}"
    for intent in evidence.intents:
        if (intent["metadata"] or {}).get("order_id") == order["id"]:
            yield f"   intent {intent['id']}: {intent['status']}, {intent['amount_received']}"
    for refund in evidence.refunds:
        if refund["payment_intent"] == order["payment_intent_id"]:
            yield f"   refund {refund['id']}: {refund['status']}, {refund['amount']}"
    for transfer in evidence.transfers:
        if transfer.wallet == order["wallet"]:
            yield f"   {transfer}"
    yield from _batch(evidence, order["batch_id"])


def _batch(evidence: Evidence, batch_id: int | None) -> Iterator[str]:
    for batch in evidence.rows["batches"]:
        if batch["id"] == batch_id:
            shown = {k: str(v) for k, v in batch.items() if k not in ("root", "network")}
            yield f"   batch {json.dumps(shown)}"
    for attempt in evidence.rows["batch_attempts"]:
        if attempt.get("batch_id") == batch_id:
            yield f"   attempt {attempt['ref']} nonce {attempt['nonce']} sent {attempt['sent_at']}"
