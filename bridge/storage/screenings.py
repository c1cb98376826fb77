"""Verdicts in SQL: kept whole, so that each can be made again from its row alone."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bridge.storage.codec import asset_from_id
from bridge.storage.records import ScreeningRecord
from settlement.ids import new_id
from settlement.money import Money
from settlement.ports.screening import Outcome, Reason, Subject, Verdict

_INSERT = """
    INSERT INTO screenings
        (id, tenant_id, order_id, network, wallet, customer, amount_minor, asset, asset_scale,
         outcome, reasons, versions, score_ppm, coverage, evidence, digest, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
"""

_KEEP_POLICY = """
    INSERT INTO screening_policies (version, content, kept_at) VALUES ($1, $2, $3)
    ON CONFLICT DO NOTHING
"""
_POLICY = "SELECT content FROM screening_policies WHERE version = $1"


class PolicyQueries:
    """Policies that screenings were judged by, kept word for word."""

    pool: Any

    async def keep_policy(self, version: str, content: str, now: datetime) -> None:
        """Once per version."""
        await self.pool.execute(_KEEP_POLICY, version, content, now)

    async def policy_content(self, version: str) -> str | None:
        content: str | None = await self.pool.fetchval(_POLICY, version)
        return content


async def save_screening_on(
    connection: Any, subject: Subject, verdict: Verdict, now: datetime
) -> str:
    """Record a verdict on a connection (or pool); returns its id."""
    screening_id = new_id("scr")
    reasons = [{"code": reason.code, "detail": reason.detail} for reason in verdict.reasons]
    await connection.execute(
        _INSERT,
        screening_id,
        subject.tenant_id,
        subject.order_id,
        subject.network,
        subject.wallet,
        subject.customer,
        *_amount(subject.amount),
        verdict.outcome.value,
        reasons,
        dict(verdict.versions),
        verdict.score_ppm,
        _exact(verdict.coverage),
        _exact(verdict.evidence),
        verdict.digest,
        now,
    )
    return screening_id


def screening_from(row: Any) -> ScreeningRecord:
    amount = None
    if row["amount_minor"] is not None:
        amount = Money(int(row["amount_minor"]), asset_from_id(row["asset"], row["asset_scale"]))
    who = (row["tenant_id"], row["network"], row["wallet"], row["customer"])
    reasons = tuple(Reason(reason["code"], reason["detail"]) for reason in row["reasons"])
    verdict = Verdict(
        Outcome(row["outcome"]),
        reasons,
        row["versions"],
        row["score_ppm"],
        json.loads(row["coverage"]),
        json.loads(row["evidence"]),
    )
    return ScreeningRecord(
        row["id"], Subject(*who, amount, row["order_id"]), verdict, row["digest"], row["created_at"]
    )


def _amount(amount: Money | None) -> tuple[int | None, str | None, int | None]:
    if amount is None:
        return None, None, None
    return amount.amount_minor, amount.asset.id, amount.asset.scale


def _exact(document: Mapping[str, Any]) -> str:
    """The column keeps the text: every number reads back as the one that was written."""
    return json.dumps(document, allow_nan=False, separators=(",", ":"))
