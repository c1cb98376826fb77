"""The guards that can be switched off, each with what the audit must then find.

The product has no switch for any of it: :mod:`tests.chaos.worker` disables a guard in its own
process before it starts, by wrapping a port or by taking a guard out of a module. A guard that is
no longer where it was fails loudly here, instead of being sabotaged in vain;
``test_sabotages.py`` switches each off once without a storm, so that this is noticed at once.
"""

import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from eth_account.typed_transactions import TypedTransaction
from eth_utils.address import to_checksum_address
from hexbytes import HexBytes

from bridge.storage import lanes as lanes_sql
from bridge.storage import orders as orders_sql
from chain.signers import Eip1559Transaction
from settlement import batch as batches
from settlement import ids
from settlement.batch import Batch, BatchKind
from settlement.errors import ChainUnknown
from settlement.ledger import journal
from settlement.ledger.entry import Booking
from settlement.ports.bundle import Ports
from settlement.ports.chain import BatchCall, Head, Inclusion
from settlement.ports.payment import Intent, IntentStatus
from settlement.stages import identity
from tests.chaos.wrapping import Instead


@dataclass(frozen=True, slots=True)
class Guard:
    """``protects`` says what the guard is for; ``finding`` is the audit's count that must rise."""

    name: str
    protects: str
    finding: str
    disable: Callable[[Ports], Ports]


def there(thing: Any, name: str) -> Any:
    """``thing.name``, which must be there: else the guard has moved, and this must follow it."""
    if not hasattr(thing, name):
        raise LookupError(f"{thing!r} has no {name} any more: the guard has moved")
    return getattr(thing, name)


def put(module: ModuleType, name: str, value: Any) -> list[str]:
    """``value`` instead of ``module.name``, there and wherever else it was imported from there.

    Returns the names of the modules that use it from now on.
    """
    original = there(module, name)
    users = [
        user
        for user in list(sys.modules.values())
        if isinstance(user, ModuleType) and vars(user).get(name) is original
    ]
    for user in users:
        setattr(user, name, value)
    return sorted(user.__name__ for user in users)


def without(text: str, part: str, instead: str = "") -> str:
    """The statement with one of its parts replaced, which must be there once."""
    if text.count(part) != 1:
        raise LookupError(f"{part!r} is in the statement {text.count(part)} times")
    return text.replace(part, instead)


def _chains(ports: Ports, **methods: Callable[..., Any]) -> Ports:
    return replace(ports, chains={n: Instead(c, methods) for n, c in ports.chains.items()})


def _payment(ports: Ports, **methods: Callable[..., Any]) -> Ports:
    return replace(ports, payment=Instead(ports.payment, methods))


def finality(ports: Ports) -> Ports:
    async def head(chain: Any) -> Head:
        found = await chain.head()
        return replace(found, final_number=found.number)

    return _chains(ports, head=head)


def stored_bytes(ports: Ports) -> Ports:
    """A sending without an answer is signed anew, for the next nonce."""
    return _chains(ports, send=lambda chain, raw: _send(chain, raw, batch_step=0))


def unknown_is_pending(ports: Ports) -> Ports:
    """A sending without an answer has failed: its orders are paid by another batch."""
    return _chains(ports, send=lambda chain, raw: _send(chain, raw, batch_step=10**6))


async def _send(chain: Any, raw: bytes, batch_step: int) -> None:
    try:
        await chain.send(raw)
    except ChainUnknown:
        again = await _signed_anew(chain, raw, batch_step)
        await chain.send(again)


async def _signed_anew(chain: Any, raw: bytes, batch_step: int) -> bytes:
    """The same call from the same lane with the next nonce, and perhaps another batch id."""
    from eth_account import Account

    fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    data = bytes(fields["data"])
    batch_id = int.from_bytes(data[4:36]) + batch_step
    transaction = Eip1559Transaction(
        chain_id=fields["chainId"],
        nonce=fields["nonce"] + 1,
        to=str(to_checksum_address(fields["to"])),
        value_wei=0,
        data=data[:4] + batch_id.to_bytes(32) + data[36:],
        gas_limit=fields["gas"],
        max_fee_wei=fields["maxFeePerGas"],
        priority_fee_wei=fields["maxPriorityFeePerGas"],
    )
    lane = Account.recover_transaction(raw)
    signed = await there(chain, "_signer")(lane).sign(transaction)
    return bytes(signed.raw)


def absent_receipt(ports: Ports) -> Ports:
    """A receipt that was there and is not there now: the transaction has failed."""
    seen: dict[str, Inclusion] = {}

    async def inclusions(
        chain: Any, refs: Sequence[str], *, complete: bool = False
    ) -> list[Inclusion]:
        found = list(await chain.inclusions(refs, complete=complete))
        seen.update({inclusion.ref: inclusion for inclusion in found})
        missing = seen.keys() & set(refs) - {inclusion.ref for inclusion in found}
        return [*found, *(replace(seen[ref], succeeded=False) for ref in missing)]

    return _chains(ports, inclusions=inclusions)


def rebroadcast(ports: Ports) -> Ports:
    """Whatever was said once is not said again, and nothing is outbid."""
    said: set[bytes] = set()

    async def send(chain: Any, raw: bytes) -> None:
        if raw not in said:
            said.add(raw)
            await chain.send(raw)

    return replace(_chains(ports, send=send), policy=replace(ports.policy, bump_ms=10**9))


def reservation(ports: Ports) -> Ports:
    """Money is captured although no tokens were set aside for it."""
    put(journal, "reserved", lambda _order: Booking("reserved"))
    return ports


def epoch(ports: Ports) -> Ports:
    """Whoever wakes late writes what it decided before it froze."""
    put(orders_sql, "GUARD", "true")
    return ports


def veto_reread(ports: Ports) -> Ports:
    async def vetoed(_screening: Any, *_: Any) -> frozenset[str]:
        return frozenset()

    return replace(ports, screening=Instead(ports.screening, {"vetoed": vetoed}))


def derived_key(ports: Ports) -> Ports:
    """Every try is a new effect to Stripe: intents, captures, cancellations, refunds, notes."""
    put(ids, "payment_key", lambda *_: uuid.uuid4().hex)
    return ports


def outside_refunds(ports: Ports) -> Ports:
    """What somebody does in the provider's dashboard is none of our business."""

    async def find(_store: Any, **_: Any) -> None:
        return None

    return replace(ports, store=Instead(ports.store, {"find": find}))


def sweep(ports: Ports) -> Ports:
    """What no webhook told did not happen."""

    async def events_since(_payment: Any, _created_at: Any) -> list[Any]:
        return []

    return _payment(ports, events_since=events_since)


def confirmed_void(ports: Ports) -> Ports:
    """A cancellation is believed before Stripe has heard of it."""

    async def cancel(payment: Any, intent_id: str, _key: str) -> Intent:
        found = await payment.retrieve_intent(intent_id)
        return replace(found, status=IntentStatus.CANCELED)

    return _payment(ports, cancel=cancel)


def refunds_reread(ports: Ports) -> Ports:
    """A refund is made without asking what has gone back already."""

    async def refunds_of(_payment: Any, _intent_id: str) -> list[Any]:
        return []

    return _payment(ports, refunds_of=refunds_of)


def quorum(ports: Ports) -> Ports:
    """The word of one endpoint is enough, whatever the deployment says."""
    for chain in ports.chains.values():
        rpc = there(chain, "_rpc")
        there(rpc, "quorum")
        rpc.quorum = 1
    return ports


def lane_epoch(ports: Ports) -> Ports:
    """Whoever takes a lane over has the same lease as the one who had it."""
    put(lanes_sql, "_CLAIM", without(lanes_sql._CLAIM, "l.epoch + 1", "l.epoch"))
    return ports


def one_batch(ports: Ports) -> Ports:
    """An order joins a second batch. Three guards stand before each other, and all are off: the
    lane's epoch, the order's own guard, and that an order with a batch joins no other."""
    original = there(orders_sql, "apply_statement")
    part = "AND (NOT c.binds OR o.batch_id IS NULL)"
    without(original((), ()), part)

    def statement(fields: tuple[str, ...], partly: tuple[str, ...]) -> str:
        return without(original(fields, partly), part)

    put(orders_sql, "apply_statement", statement)
    return epoch(lane_epoch(ports))


def planned_root(ports: Ports) -> Ports:
    """What is signed is whatever the rows say by now."""
    original = there(batches, "sealed_call")

    def sealed_call(chain: Any, batch: Batch, payouts: Sequence[Any]) -> Any:
        if batch.kind is not BatchKind.CALL and batch.cancel_asked_at is None:
            root = chain.batch_root(BatchCall(batch.id, batch.asset, tuple(payouts)))
            batch = replace(batch, root=root, order_count=len(payouts))
        return original(chain, batch, payouts)

    put(batches, "sealed_call", sealed_call)
    return ports


def forgotten_nonce(ports: Ports) -> Ports:
    """That the chain knows of nonces which we never gave out means nothing."""

    async def forgotten(*_: Any) -> None:
        return None

    put(identity, "_forgotten", forgotten)
    return ports


GUARDS: Mapping[str, Guard] = {
    name.replace("_", "-"): Guard(name.replace("_", "-"), protects, finding, disable)
    for name, finding, disable, protects in (
        ("finality", "lost", finality, "only a final block decides"),
        ("stored_bytes", "unbalanced", stored_bytes, "a retry sends the stored bytes"),
        ("unknown_is_pending", "paid_twice", unknown_is_pending, "no answer is not a failure"),
        ("absent_receipt", "stuck", absent_receipt, "a missing receipt proves nothing"),
        ("rebroadcast", "stuck", rebroadcast, "what a reorganisation dropped is said again"),
        ("quorum", "paid_twice", quorum, "one lying endpoint decides nothing"),
        ("reservation", "unbalanced", reservation, "no reservation, no capture"),
        ("epoch", "stuck", epoch, "a worker that wakes late changes nothing"),
        ("veto_reread", "lost", veto_reread, "the lists are read again before money moves"),
        ("derived_key", "unbalanced", derived_key, "one key per effect, for ever"),
        ("outside_refunds", "unbalanced", outside_refunds, "refunds made elsewhere are booked"),
        ("sweep", "unbalanced", sweep, "a lost webhook is late, not lost"),
        ("confirmed_void", "stuck", confirmed_void, "an exit is taken once Stripe confirms"),
        ("refunds_reread", "lost", refunds_reread, "existing refunds are read before any other"),
        ("lane_epoch", "stuck", lane_epoch, "who lost a lane says nothing about it any more"),
        ("one_batch", "paid_twice", one_batch, "an order in a batch joins no other"),
        ("planned_root", "lost", planned_root, "what is signed is what was planned"),
        ("forgotten_nonce", "paid_twice", forgotten_nonce, "a restored backup is noticed"),
    )
}
