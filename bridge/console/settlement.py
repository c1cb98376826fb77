"""``tidegate settlement``: batches, and what to do when they need a person."""

from datetime import UTC, datetime, timedelta

import click

from bridge.bootstrap import open_ports
from bridge.console.context import ACTOR, open_desk, runs
from bridge.rebuild import Rebuild, Report
from bridge.settings import SettingsError
from bridge.storage.rebuilding import Rebuilding
from bridge.storage.wake import WORK, somebody_listens
from bridge.wording import shown
from chain.evm.client import EvmChain
from settlement.errors import InvariantBroken, NotFound

SINCE_DAYS = 30


@click.group()
def settlement() -> None:
    """Batches of payouts."""


@settlement.command("rebuild")
@click.argument("network")
@click.option("--since", type=click.DateTime(), help="Before the backup; default: 30 days ago.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@runs
async def rebuild(network: str, since: datetime | None, yes: bool) -> None:
    """After a restored backup: write down again what the chain and Stripe know.

    Stop every worker first. It can be run again at any point, and starts the network when nothing
    is left over.
    """
    if not yes:
        click.confirm(f"Rebuild {network}? Its lanes spend gas to use up their nonces.", abort=True)
    async with open_desk() as desk:
        if await somebody_listens(desk.store.pool, WORK):
            raise SettingsError("a worker is running; stop every worker first")
        start = since.replace(tzinfo=UTC) if since else desk.clock.now() - timedelta(SINCE_DAYS)
        async with open_ports(desk.settings) as ports:
            if network not in ports.chains:
                raise NotFound(f"there is no network {network}; see `tidegate networks list`")
            await desk.queries.append_audit(
                actor=ACTOR, action="settlement.rebuild", object_id=network, now=desk.clock.now()
            )
            chain = ports.chains[network]
            assert isinstance(chain, EvmChain)  # the only family so far; others bring a history
            rows, fiat = Rebuilding(desk.store.pool), desk.settings.currencies
            report = await Rebuild(ports, rows, chain.history, network, fiat).run(start)
    _tell(network, report)


def _tell(network: str, report: Report) -> None:
    click.echo(f"{shown(report.quarantined, 'nonce')} used up, so that nothing lost can be mined")
    click.echo(f"{shown(len(report.written_down), 'order')} written down again")
    click.echo(f"{len(report.batches)} of the chain's batches recorded, {report.moved} steps")
    click.echo(f"{shown(report.released, 'order')} given back by batches that paid nobody")
    for line in report.notes:
        click.echo(f"note: {line}")
    for line in report.left:
        click.echo(f"LEFT: {line}")
    if report.left:
        raise InvariantBroken(f"{network} stays stopped: look at what is left, then run it again")
    click.echo(f"{network} runs again; start the workers")
