"""Is the final block that we last acted on still there? If not, nothing that we know is certain.

``identity.verify`` asks regularly; here it is asked before anything else is decided or planned, so
that no further payment follows upon a chain that has taken back what it had promised.
"""

from settlement.batch import Lane
from settlement.errors import ChainUnknown, NetworkStopped
from settlement.ports.bundle import Ports
from settlement.ports.chain import ChainPort


async def check_anchor(ports: Ports, chain: ChainPort, lane: Lane) -> None:
    """Raises :class:`~settlement.errors.NetworkStopped` when another block is in its place.

    None at all proves nothing, since the nodes that were asked may lag; nor may anything be built
    on it, since the chain may have been rolled back and will only grow to another block there.
    Raises :class:`~settlement.errors.ChainUnknown` then: the lane waits until the nodes have it.
    """
    state = await ports.store.network(lane.network)
    if state is None or state.anchor_number is None:
        return
    found = await chain.block_hash(state.anchor_number)
    if found == state.anchor_hash:
        return
    if found is None:
        raise ChainUnknown(f"the nodes do not have final block {state.anchor_number} yet")
    reason = f"final block {state.anchor_number} is {found}, was {state.anchor_hash}"
    await ports.store.stop_network(lane.network, reason, ports.clock.now(), lane=lane)
    ports.log.error("network_stopped", network=lane.network, reason=reason)
    raise NetworkStopped(reason)
