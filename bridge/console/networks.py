"""``tidegate networks``: chains that this deployment pays on, their lanes, pauses and stops."""

import click

from bridge.bootstrap import deployments_path, open_chain
from bridge.console.context import ACTOR, Desk, act, open_desk, runs, table
from bridge.operating import Actor, start_network, switch_lane, switch_network
from bridge.rebuild import REASON
from bridge.settings import SettingsError
from bridge.storage.records import LaneRecord, NetworkRecord, lane_word, network_word
from chain.deployment import load_deployments
from chain.registry import load_network
from settlement.errors import InvalidInput, NotFound
from settlement.ports.store import NetworkState
from settlement.stages.identity import difference

_network = click.argument("network")
_lane = click.option("--lane", help="Only this signing account, by its address.")


@click.group()
def networks() -> None:
    """Chains that this deployment pays on."""


@networks.command("list")
@runs
async def list_networks() -> None:
    """Each network of the deployment file: instance, vault, head, and whether it runs."""
    async with open_desk() as desk:
        deployments = load_deployments(deployments_path(desk.settings))
        found = {record.state.name: record for record in await desk.queries.networks()}
    if not deployments:
        click.echo("no network is deployed")
        return
    rows = [
        _row(name, deployment.vault, found.get(name))
        for name, deployment in sorted(deployments.items())
    ]
    click.echo(table(rows, ("NETWORK", "INSTANCE", "VAULT", "HEAD", "FINAL", "WAITING", "STATE")))


@networks.command("lanes")
@_network
@runs
async def list_lanes(network: str) -> None:
    """The signing accounts of a network: who works them, and what each has under way."""
    async with open_desk() as desk:
        record = await _record(desk, network)
    heads = ("LANE", "NONCE", "OPEN", "HOLDER", "STATE")
    click.echo(table([_lane_row(lane) for lane in record.lanes], heads))


@networks.command("pause")
@_network
@_lane
@runs
async def pause(network: str, lane: str | None) -> None:
    """Plan nothing new; what was sent is followed. Orders wait with the reason `paused`."""
    changed = await _switch(network, lane, pause=True)
    click.echo(f"{lane or network} {'is paused' if changed else 'was paused before'}")


@networks.command("resume")
@_network
@_lane
@runs
async def resume(network: str, lane: str | None) -> None:
    """Plan again. A network that is stopped stays so: see `tidegate networks start`."""
    changed = await _switch(network, lane, pause=False)
    click.echo(f"{lane or network} {'goes on' if changed else 'was not paused'}")


@networks.command("start")
@_network
@click.option("--yes", is_flag=True, help="The reason of the stop is understood and gone.")
@runs
async def start(network: str, yes: bool) -> None:
    """Take back a stop, once the chain is again the one that we paid on.

    Orders are not touched, and the workers look again: a reason that is not gone stops the
    network once more before anything is signed.
    """
    async with open_desk() as desk:
        state = (await _record(desk, network)).state
        if state.stop_reason is None:
            click.echo(f"{network} is not stopped")
            return
        await _verify(desk, state)
        click.echo(f"{network} was stopped: {state.stop_reason}")
        if not yes:
            click.confirm("Is the reason understood and gone?", abort=True)
        if not await act(desk, start_network(Actor(ACTOR), network, state.stop_reason)):
            raise InvalidInput(f"{network} was stopped for another reason meanwhile; look again")
    click.echo(f"{network} is started")


async def _verify(desk: Desk, state: NetworkState) -> None:
    """Raises ``InvalidInput`` when the chain is not the one that we know, or knows more of us."""
    if state.stop_reason == REASON:
        raise InvalidInput(f"run `tidegate settlement rebuild {state.name}` to its end instead")
    deployments = load_deployments(deployments_path(desk.settings))
    if state.name not in deployments:
        raise SettingsError(f"{state.name} is not in {deployments_path(desk.settings)}")
    chain = open_chain(load_network(state.name), deployments[state.name], {})
    try:
        problem = await difference(chain, desk.store, state)
    finally:
        await chain.close()
    if problem is not None:
        raise InvalidInput(f"{state.name} stays stopped: {problem}")


async def _switch(network: str, lane: str | None, *, pause: bool) -> bool:
    async with open_desk() as desk:
        now, actor = desk.clock.now(), Actor(ACTOR)
        if lane is None:
            doing = switch_network(actor, network, now, pause=pause)
        else:
            doing = switch_lane(actor, network, lane, now, pause=pause)
        return await act(desk, doing) is not None


async def _record(desk: Desk, network: str) -> NetworkRecord:
    found = await desk.queries.networks(network)
    if not found:
        raise NotFound(f"there is no network {network}; see `tidegate networks list`")
    return found[0]


def _row(name: str, vault: str, record: NetworkRecord | None) -> tuple[str, ...]:
    if record is None:
        return (name, "-", vault, "-", "-", "-", "not registered")
    state = record.state
    words = network_word(state.stop_reason, state.paused_at)
    if state.stop_reason is not None:
        words += f": {state.stop_reason}"
    elif state.paused_by is not None:
        words += f" by {state.paused_by}"
    waiting = ", ".join(f"{count} {reason}" for reason, count in record.waiting.items())
    return (
        name,
        str(state.instance),
        vault,
        "-" if state.head_number is None else str(state.head_number),
        "-" if state.final_number is None else str(state.final_number),
        waiting or "none",
        words,
    )


def _lane_row(record: LaneRecord) -> tuple[str, ...]:
    held, lane = record.state, record.state.lane
    words = lane_word(lane.paused_at, lane.low_since)
    if lane.low_since is not None:
        words += f" since {lane.low_since:%Y-%m-%d %H:%M}"
    return (
        lane.address,
        str(lane.next_nonce),
        str(record.open_batches),
        held.holder or "-",
        words,
    )
