"""Receipts: proof of payment that its reader can check without us.

Everything is computed from stored rows, and the root that comes out is compared with the stored
one before anything is answered: a receipt that does not verify would be worse than none.
"""

import asyncio
from typing import Any

from litestar import Request, get

from bridge.api.auth import caller_of, check_client_secret
from bridge.api.errors import NothingPaid, NotProvable, ReceiptNotReady
from bridge.api.orders import ClientSecret, ClientSecretHeader, OrderId
from bridge.api.schemas.receipts import (
    ReceiptView,
    TransferReceiptView,
    receipt_view,
    transfer_receipt_view,
)
from bridge.api.services import Services, services_of
from settlement.batch import BatchKind
from settlement.errors import InvariantBroken, NotFound
from settlement.order import FINAL, Order, Status
from settlement.ports.chain import BatchCall
from settlement.receipt import PaidBatch, ReceiptFacts

UNPAID = FINAL - {Status.COMPLETED} | {Status.VOIDING, Status.REFUND_PENDING}
"""From none of these does a way lead to a payment."""


@get(
    "/v1/receipts/{order_id:str}",
    opt={"permission": "receipts.read"},
    summary="Retrieve a receipt",
    tags=["receipts"],
)
async def get_receipt(
    request: Request[Any, Any, Any],
    order_id: OrderId,
    client_secret: ClientSecret = None,
    client_secret_header: ClientSecretHeader = None,
) -> ReceiptView | TransferReceiptView:
    """Proof that a completed order was paid, to be checked against any node: a `receipt` of the
    vault, or a `transfer_receipt` for native coin that was sent singly. With a publishable key
    also send the order's client secret."""
    services, caller = services_of(request), caller_of(request)
    order = await services.queries.order(caller.tenant_id, order_id)
    if order is None:
        raise NotFound("no such order")
    check_client_secret(caller, order, client_secret_header or client_secret)
    batch_id, index = _place(order)
    batch = await services.queries.paid_batch(caller.tenant_id, batch_id)
    if batch is None:
        raise InvariantBroken(f"{order.id} is completed, and batch {batch_id} is not final")
    return await _receipt(services, order, batch, index)


def _place(order: Order) -> tuple[int, int]:
    """The batch that paid the order, and the row. Raises for orders that are not paid."""
    if order.status in UNPAID:
        raise NothingPaid(f"nothing was paid on-chain for this order, which is {order.status}")
    if order.status is not Status.COMPLETED:
        raise ReceiptNotReady(
            f"the order is {order.status}; its receipt exists once the block that paid it is final"
        )
    if order.batch_id is None or order.batch_index is None:
        raise NothingPaid("this order was completed without a payment on-chain")
    return order.batch_id, order.batch_index


async def _receipt(
    services: Services, order: Order, batch: PaidBatch, index: int
) -> ReceiptView | TransferReceiptView:
    """Raises :class:`NotProvable`; ``InvariantBroken`` when the rows no longer give the root."""
    facts, asset_address = _facts(services, batch)
    if batch.vault is None:
        raise NotProvable("the chain that this order was paid on has been replaced by another")
    call = BatchCall(batch.batch_id, batch.asset, batch.payouts)
    if batch.payouts[index].order_id != order.id:
        raise InvariantBroken(f"row {index} of batch {batch.batch_id} is not {order.id}")
    # Some 30 ms for 200 rows: not while other requests wait.
    proof = await asyncio.to_thread(facts.prove, call, asset_address, index)
    if proof.root != batch.root:
        raise InvariantBroken(f"the rows of batch {batch.batch_id} no longer give its root")
    if batch.kind is BatchKind.SINGLE:
        return transfer_receipt_view(batch, asset_address, proof, facts)
    return receipt_view(batch, batch.vault, asset_address, index, proof, facts)


def _facts(services: Services, batch: PaidBatch) -> tuple[ReceiptFacts, str]:
    network = services.networks.get(batch.network)
    if network is None or network.receipts is None:
        raise NotProvable(f"{batch.network} is not served here, so nothing can be proven about it")
    if batch.asset == network.native:
        return network.receipts, network.receipts.native_address
    for token in network.assets:
        if token.asset == batch.asset:
            return network.receipts, token.address
    raise NotProvable(f"{batch.asset.id} is not configured any more, so its address is not known")


HANDLERS = (get_receipt,)
