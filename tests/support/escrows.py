"""Escrows with sensible values, for tests that care about one or two of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from settlement.escrow import Escrow, EscrowStatus, OnChain, Terms
from settlement.ids import new_id
from settlement.money import Asset
from settlement.order import Order
from tests.support.builders import AMPLE, NOW, Scene, key

AMOUNT = 97_000_000
DUSD = Asset("DUSD", 6, "local")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PAYER, PAYEE, ARBITER, ORACLE, OPERATOR = (f"0x{n:040x}" for n in range(0xA00001, 0xA00006))


def some_terms(order_id: str = "ord_1", **changes: Any) -> Terms:
    values: dict[str, Any] = {
        "contract": "0x00000000000000000000000000000000000e5c40",
        "order_id": order_id,
        "asset": DUSD,
        "token": "0x0000000000000000000000000000000000d011a4",
        "amount_minor": AMOUNT,
        "payer": PAYER,
        "payee": PAYEE,
        "arbiter": ARBITER,
        "oracle": ORACLE,
        "operator": OPERATOR,
        "expires_at": NOON + timedelta(days=1),
        "pays_at_expiry": False,
    }
    return Terms(**(values | changes))


def an_escrow(
    status: EscrowStatus = EscrowStatus.FUNDED, terms: Terms | None = None, **changes: Any
) -> Escrow:
    escrow_id = new_id("esc")
    values: dict[str, Any] = {
        "id": escrow_id,
        "tenant_id": "ten_1",
        "terms": terms or some_terms(),
        "ref": "0x" + "1d" * 32,
        "purse": f"0xpurse{escrow_id}",
        "status": status,
        "created_at": NOON,
        "due_at": NOON,
        "epoch": 1,
    }
    return Escrow(**(values | changes))


def seen(block_number: int = 10, **changes: Any) -> OnChain:
    """What an untouched escrow looks like on-chain, an hour after noon."""
    values: dict[str, Any] = {
        "block_number": block_number,
        "time": NOON + timedelta(hours=1),
        "released_minor": 0,
        "refunded_minor": 0,
        "disputed_at": None,
        "dispute_open": False,
        "ended": False,
    }
    return OnChain(**(values | changes))


async def agree(
    scene: Scene,
    now: datetime = NOW,
    *,
    gross_minor: int = 10_000,
    customer: str = "customer-1",
    **changes: Any,
) -> tuple[Order, Escrow]:
    """An accepted order and the escrow that it will fill."""
    quote = await scene.saved_quote(gross_minor=gross_minor)
    command = scene.command(quote, customer=customer)
    terms = some_terms(command.order_id, amount_minor=quote.token.amount_minor, **changes)
    escrow = an_escrow(EscrowStatus.AWAITING_FUNDING, terms, tenant_id=scene.tenant, epoch=0)
    command = replace(
        command,
        wallet=escrow.purse,
        escrow=escrow,
        parties=(terms.payee, terms.payer),
        settle_by=terms.expires_at,
    )
    return await scene.store.accept(command, AMPLE, key(), now), escrow
