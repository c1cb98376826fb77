"""awaiting_funding → funded → …: fill escrows, carry out what was attested, watch what others do.

Each look reads what the chain says at a final block and stores what is new; only when nothing is
new is something done, one call at a time. Whoever would be paid by it is screened right before the
call is stored, and not held up by what officers approved in the order's case; the verdict is kept
as it was made. The action and its call are one transaction, so a crash leaves both or neither. The
lane of the escrow's operator signs and follows the call like any of its own.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from settlement.errors import ChainError, InvariantBroken, PaymentError, ScreeningUnavailable
from settlement.escrow import (
    CallOutcome,
    Escrow,
    EscrowChange,
    EscrowStatus,
    OnChain,
    acting_for,
    wait,
)
from settlement.escrowing.act import act, plan, unpaid
from settlement.escrowing.observe import WITHDRAWN, funded, observe
from settlement.ids import OrderId, payment_key
from settlement.money import format_minor
from settlement.order import FINAL, HoldReason
from settlement.ports.bundle import Ports, each
from settlement.ports.escrow import EscrowPort
from settlement.ports.escrow_store import Note
from settlement.ports.screening import Outcome, Scope, Subject, Verdict
from settlement.schedule import after, retry_at
from settlement.screening import judge_each, spared


async def tick(ports: Ports) -> int:
    """Advance due escrows, then tell the payment provider how they stand."""
    return await _advance(ports) + await _tell(ports)


async def _advance(ports: Ports) -> int:
    now = ports.clock.now()
    escrows = await ports.store.claim_escrows(
        now, limit=ports.policy.claim_limit, lease_ms=ports.policy.lease_ms
    )

    async def work(escrow: Escrow) -> None:
        try:
            change = await _next(ports, escrow, now)
        except (ChainError, ScreeningUnavailable) as error:
            ports.log.warning("escrow_not_advanced", escrow_id=escrow.id, error=str(error))
            change = wait(escrow, retry_at(now, escrow.attempts, ports.policy))
        await ports.store.apply_escrow(change)

    await each(ports, escrows, work)
    return len(escrows)


async def _next(ports: Ports, escrow: Escrow, now: datetime) -> EscrowChange:
    if escrow.status is EscrowStatus.AWAITING_FUNDING:
        return await _funding(ports, escrow, now)
    port = ports.escrows.get(escrow.network)
    state = await ports.store.network(escrow.network)
    if port is None or state is None or state.stop_reason is not None:
        # Not a chain that we could believe, or make a call on.
        return wait(escrow, after(now, ports.policy.escrow_poll_ms))
    action = escrow.submitted
    outcome = None if action is None else await ports.store.call_outcome(action.call_id)
    seen = await port.on_chain(escrow)
    try:
        news = observe(escrow, seen, outcome, now)
    except InvariantBroken as error:
        await ports.store.stop_network(escrow.network, str(error), now)
        ports.log.error("network_stopped", network=escrow.network, reason=str(error))
        return wait(escrow, after(now, ports.policy.escrow_poll_ms))
    if news is not None:
        return news
    if action is not None:
        return await _watch(ports, escrow, outcome, now)
    return await _act(ports, port, escrow, seen, now)


async def _funding(ports: Ports, escrow: Escrow, now: datetime) -> EscrowChange:
    """The order has ended; its batch names the transaction."""
    order = await ports.store.get(escrow.terms.order_id)
    if order is None or order.status not in FINAL:
        return wait(escrow, after(now, ports.policy.poll_ms))
    paid = None if order.batch_id is None else await ports.store.batch_outcome(order.batch_id)
    return funded(escrow, order, None if paid is None else paid.ref, now)


async def _watch(
    ports: Ports, escrow: Escrow, outcome: CallOutcome | None, now: datetime
) -> EscrowChange:
    """A call may wait long for its lane; while it does, the lists still count."""
    action = escrow.submitted
    if action is None or outcome is None:
        raise InvariantBroken(f"{escrow.id} waits for a call that nobody requested")
    if outcome.status is None:
        parties = acting_for(escrow, action.what)
        reason = None
        if parties and await ports.screening.vetoed(escrow.network, parties, escrow.tenant_id):
            reason = WITHDRAWN
        elif (hold := unpaid(escrow, action.what, await _payment(ports, escrow))[0]) is not None:
            reason = f"{WITHDRAWN}: {hold}"
        if reason is not None:
            # No effect when a lane was faster; the next look tells which it was.
            await ports.store.withdraw_call(action.call_id, reason, now)
            return wait(escrow, now)
    return wait(escrow, after(now, ports.policy.poll_ms))


async def _payment(ports: Ports, escrow: Escrow) -> HoldReason:
    """Why the order behind the escrow is held, if it is."""
    order = await ports.store.get(escrow.terms.order_id)
    return HoldReason.NONE if order is None else order.hold_reason


async def _act(
    ports: Ports, port: EscrowPort, escrow: Escrow, seen: OnChain, now: datetime
) -> EscrowChange:
    planned = plan(escrow, seen, now, ports.policy)
    if not planned.actions:
        look = after(now, ports.policy.escrow_poll_ms)
        expiry = escrow.terms.expires_at
        return wait(escrow, expiry if now < expiry < look else look)
    order = await ports.store.get(escrow.terms.order_id)
    if order is None:
        raise InvariantBroken(f"{escrow.id} has lost its order")
    verdicts = await judge_each(ports.screening, order, planned.parties(escrow), Scope.COUNTED)
    change = act(
        escrow,
        planned,
        await _spared(ports, order.id, verdicts),
        lambda what: port.call(escrow.terms, what),
        now,
        ports.policy,
        order.hold_reason,
    )
    if change.actions:
        subject = Subject.of(order)
        for address, verdict in verdicts.items():
            await ports.store.save_screening(replace(subject, wallet=address), verdict, now)
    return change


async def _spared(
    ports: Ports, order_id: OrderId, verdicts: Mapping[str, Verdict]
) -> Mapping[str, Verdict]:
    """What decides, once it is known what officers approved."""
    if all(verdict.outcome is not Outcome.REVIEW for verdict in verdicts.values()):
        return verdicts
    return spared(verdicts, await ports.store.approved_reasons(order_id))


async def _tell(ports: Ports) -> int:
    """A failure is tried again after the lease, for as long as it takes; no money waits for it."""
    notes = await ports.store.claim_notes(
        ports.clock.now(), limit=ports.policy.claim_limit, lease_ms=ports.policy.lease_ms
    )

    async def tell(note: Note) -> None:
        escrow = note.escrow
        key = payment_key(escrow.id, f"note:{escrow.version}")
        try:
            await ports.payment.annotate(note.intent_id, metadata(note), key)
        except PaymentError as error:
            ports.log.warning("escrow_not_told", escrow_id=escrow.id, error=str(error))
            return
        await ports.store.noted(escrow.id, escrow.version)

    await each(ports, notes, tell)
    return len(notes)


def metadata(note: Note) -> dict[str, str]:
    """What the provider's dashboard shows beside the payment."""
    escrow, asset = note.escrow, note.escrow.terms.asset
    return {
        "order_id": note.order_id,
        "escrow_id": escrow.id,
        "escrow_state": escrow.status,
        "escrow_released": f"{format_minor(escrow.released_minor, asset.scale)} {asset.code}",
        "escrow_refunded": f"{format_minor(escrow.refunded_minor, asset.scale)} {asset.code}",
        "transaction_hash": escrow.last_ref or "",
    }
