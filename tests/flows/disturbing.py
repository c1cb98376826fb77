"""How flow tests disturb the ports of a deployment: real adapters with one method replaced."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from settlement.errors import ChainUnknown
from settlement.order import Status
from settlement.stages import inbox
from tests.flows.test_settlement import captured


@dataclass
class Disturbed:
    """The real adapter, one method of which is replaced by ``instead(real, *arguments)``."""

    port: Any
    method: str
    instead: Callable[..., Any]

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.port, name)
        if name != self.method:
            return real
        return lambda *arguments: self.instead(real, *arguments)


class Silent:
    """A network whose node answers nothing at all."""

    def __getattr__(self, name: str) -> Any:
        raise ChainUnknown("nobody there")


def disturb_chain(bridge, method, instead):
    chains = {"local": Disturbed(bridge.chain, method, instead)}
    bridge.ports = replace(bridge.ports, chains=chains)


def restore_chain(bridge):
    bridge.ports = replace(bridge.ports, chains={"local": bridge.chain})


def disturb_payment(bridge, method, instead):
    payment = Disturbed(bridge.ports.payment, method, instead)
    bridge.ports = replace(bridge.ports, payment=payment)


async def swallowed(_real, _raw):
    """The node took the bytes, or so it said, and forgot them."""


async def unanswered(_real, *_arguments):
    raise ChainUnknown("no answer")


async def in_flight(bridge, wallet=None):
    """An order whose batch was handed to a node that lost it."""
    order_id = await captured(bridge, wallet=wallet)
    disturb_chain(bridge, "send", swallowed)
    await bridge.until(order_id, lambda order: order.status is Status.SUBMITTED)
    restore_chain(bridge)
    return order_id


async def refund_outside(bridge, order_id, amount=None):
    order = await bridge.order(order_id)
    params: Any = {"payment_intent": str(order.payment_intent_id)}
    made = await bridge.stripe.v1.refunds.create_async(
        params | ({"amount": amount} if amount else {})
    )
    return made.id


async def hear(bridge, order_id):
    """The events that Stripe has, worked once."""
    await inbox.sweep(bridge.ports, (await bridge.order(order_id)).created_at)
    bridge.clock.ahead += timedelta(seconds=3)
    await inbox.tick(bridge.ports)
