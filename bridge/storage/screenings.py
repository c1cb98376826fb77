"""Verdicts in SQL: kept whole, so that each can be made again from its row alone."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from bridge.storage.behind import payments_behind
from bridge.storage.codec import asset_from_id
from bridge.storage.conditions import NOT_FINAL, UNSCORED
from bridge.storage.records import ScreeningRecord
from settlement.errors import ScreeningUnavailable
from settlement.ids import new_id
from settlement.money import Money
from settlement.ports.screening import Outcome, Reason, Subject, Unscored, Verdict

_INSERT = """
    INSERT INTO screenings
        (id, tenant_id, order_id, network, wallet, customer, amount_minor, asset, asset_scale,
         outcome, reasons, versions, score_ppm, coverage, evidence, digest, created_at, risk_ppm)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
"""

_KEEP_POLICY = """
    INSERT INTO screening_policies (version, content, kept_at) VALUES ($1, $2, $3)
    ON CONFLICT DO NOTHING
"""
_KEEP_MODEL = """
    INSERT INTO screening_models (version, content, kept_at) VALUES ($1, $2, $3)
    ON CONFLICT DO NOTHING
"""
_MODELS = "SELECT version, content FROM screening_models WHERE version = ANY ($1)"
_POLICY = "SELECT content FROM screening_policies WHERE version = $1"


class PolicyQueries:
    """Policies that screenings were judged by, kept word for word, and what models ranked by."""

    pool: Any

    async def keep_policy(self, version: str, content: str, now: datetime) -> None:
        """Once per version."""
        await self.pool.execute(_KEEP_POLICY, version, content, now)

    async def policy_content(self, version: str) -> str | None:
        content: str | None = await self.pool.fetchval(_POLICY, version)
        return content

    async def keep_model(self, version: str, content: str, now: datetime) -> None:
        """See :class:`compliance_graph.screening.ModelKeeper`."""
        await self.pool.execute(_KEEP_MODEL, version, content, now)

    async def model_contents(self, versions: Collection[str]) -> dict[str, str]:
        """By version, those that were kept."""
        rows = await self.pool.fetch(_MODELS, list(versions))
        return {row["version"]: row["content"] for row in rows}


# An escrow's order pays its purse; its parties are whom the purse may pay later. What is judged
# before such a payment is not about the order's own wallet: the order was counted long before.
_PARTY = "o.escrow_id IS NOT NULL AND o.parties @> jsonb_build_array($3::text)"
_JUDGED = f"""
        SELECT s.order_id, s.amount_minor
        FROM screenings s JOIN orders o ON o.id = s.order_id AND o.wallet = s.wallet
        WHERE {UNSCORED} AND s.tenant_id = $1 AND s.created_at > $5 AND s.asset = $4"""
_UNSCORED = f"""
    WITH waiting AS (
        SELECT o.id, o.gross_minor, o.customer = $2 AS paid, o.wallet = $3 OR {_PARTY} AS received
        FROM orders o
        WHERE status = 'authorized' AND {NOT_FINAL} AND o.tenant_id = $1 AND o.fiat = $4
          AND (coalesce(o.authorized_at, o.created_at), o.id)
              < (SELECT coalesce(authorized_at, created_at), id FROM orders WHERE id = $6)
    ), of_customer AS ({_JUDGED} AND s.customer = $2
        UNION ALL
        SELECT id, gross_minor FROM waiting WHERE paid
    ), of_wallet AS ({_JUDGED} AND s.wallet = $3
        UNION ALL {_JUDGED} AND o.tenant_id = $1 AND {_PARTY}
        UNION ALL
        SELECT id, gross_minor FROM waiting WHERE received
    )
    SELECT (SELECT coalesce(sum(minor), 0) FROM (
                SELECT max(amount_minor) AS minor FROM of_customer
                WHERE order_id <> coalesce($6, '') GROUP BY order_id
            ) AS each_once) AS customer,
           (SELECT coalesce(sum(minor), 0) FROM (
                SELECT max(amount_minor) AS minor FROM of_wallet
                WHERE order_id <> coalesce($6, '') GROUP BY order_id
            ) AS each_once) AS wallet
"""


class BehindQueries:
    """What lies behind a verdict."""

    pool: Any

    async def payments_behind(self, record: ScreeningRecord) -> list[dict[str, Any]]:
        """See :func:`bridge.storage.behind.payments_behind`."""
        wallet, evidence = record.subject.wallet, record.verdict.evidence
        return await payments_behind(self.pool, wallet, evidence)


class UnscoredQueries:
    """What was cleared although nothing could be said."""

    pool: Any

    async def unscored(self, subject: Subject, since: datetime) -> Unscored:
        """Raises ``ScreeningUnavailable``."""
        assert subject.amount is not None, "without an amount nothing is cleared unscored"
        values = (subject.tenant_id, subject.customer, subject.wallet, subject.amount.asset.id)
        try:
            row = await self.pool.fetchrow(_UNSCORED, *values, since, subject.order_id)
        except (OSError, asyncpg.PostgresError) as error:
            raise ScreeningUnavailable(f"earlier orders cannot be read: {error}") from error
        return Unscored(int(row["customer"]), int(row["wallet"]))


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
        verdict.risk_ppm,
    )
    return screening_id


def screening_from(row: Any) -> ScreeningRecord:
    amount = None
    if row["amount_minor"] is not None:
        amount = Money(int(row["amount_minor"]), asset_from_id(row["asset"], row["asset_scale"]))
    who = (row["tenant_id"], row["network"], row["wallet"], row["customer"])
    verdict = Verdict(
        Outcome(row["outcome"]),
        reasons_from(row["reasons"]),
        row["versions"],
        row["score_ppm"],
        json.loads(row["coverage"]),
        json.loads(row["evidence"]),
        row["risk_ppm"],
    )
    return ScreeningRecord(
        row["id"], Subject(*who, amount, row["order_id"]), verdict, row["digest"], row["created_at"]
    )


def reasons_from(column: Sequence[Mapping[str, str]]) -> tuple[Reason, ...]:
    """A verdict's reasons from their column."""
    return tuple(Reason(reason["code"], reason["detail"]) for reason in column)


def _amount(amount: Money | None) -> tuple[int | None, str | None, int | None]:
    if amount is None:
        return None, None, None
    return amount.amount_minor, amount.asset.id, amount.asset.scale


def _exact(document: Mapping[str, Any]) -> str:
    """The column keeps the text: every number reads back as the one that was written."""
    return json.dumps(document, allow_nan=False, separators=(",", ":"))
