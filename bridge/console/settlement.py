"""``tidegate settlement``: batches of every tenant, and what an operator asks of one."""

from datetime import UTC, datetime, timedelta

import click

from bridge.administering import begin_rebuild, end_rebuild
from bridge.bootstrap import open_ports
from bridge.console.context import ACTOR, act, open_desk, runs, table
from bridge.operating import Actor, ask_settlement, settlement_of
from bridge.rebuild import Rebuild, Report
from bridge.settings import SettingsError
from bridge.storage.pages import Page
from bridge.storage.rebuilding import Rebuilding
from bridge.storage.records import Settlement
from bridge.storage.wake import WORK, somebody_listens
from bridge.wording import shown
from chain.evm.client import EvmChain
from settlement.batch import Attempt
from settlement.errors import InvariantBroken, NotFound

SINCE_DAYS = 30
_batch_id = click.argument("batch_id", type=click.IntRange(min=1))


@click.group()
def settlement() -> None:
    """Batches on their way to a final block. What is asked here, a worker does under its guards."""


@settlement.command("list")
@click.option("--open", "only_open", is_flag=True, help="Only those that no final block decided.")
@click.option("--network", help="Only those of one network.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@runs
async def list_settlements(only_open: bool, network: str | None, limit: int) -> None:
    """Batches of all tenants, newest first."""
    async with open_desk() as desk:
        found = await desk.queries.all_settlements(
            Page(limit), network=network, only_open=only_open
        )
    if not found.rows:
        click.echo("no batch is open" if only_open else "there is no batch yet")
        return
    heads = ("BATCH", "STATUS", "NETWORK", "KIND", "ORDERS", "NONCE", "TRIES", "CONFIRMED", "ASKED")
    click.echo(table([_row(one) for one in found.rows], heads))


@settlement.command("show")
@_batch_id
@runs
async def show_settlement(batch_id: int) -> None:
    """One batch: where it is, each attempt to get it mined, and the orders that it pays."""
    async with open_desk() as desk:
        found = await settlement_of(desk.queries, Actor(ACTOR), batch_id)
    batch = found.batch
    facts = (
        ("batch", f"{batch.id}, {batch.status}, {batch.kind} of {batch.asset.code}"),
        ("network", f"{batch.network}, {found.network_state}"),
        ("lane", f"{batch.lane_address}, {found.lane_state}, nonce {batch.nonce}"),
        ("planned", f"{batch.planned_at:%Y-%m-%d %H:%M:%S}"),
        ("asked", _asked(found) or "nothing"),
        ("block", _block(found)),
        ("root", batch.root or "-"),
    )
    click.echo(table(list(facts[1:]), facts[0]))
    if batch.attempts:
        heads = ("TRANSACTION", "SIGNED", "SENT", "MAX FEE (WEI)", "PAYS")
        click.echo("\n" + table([_attempt(one) for one in batch.attempts], heads))
    click.echo(f"\n{shown(len(found.order_ids), 'order')}")
    for order_id in found.order_ids:
        click.echo(f"  {order_id}")


@settlement.command("bump")
@_batch_id
@runs
async def bump(batch_id: int) -> None:
    """Bid more at once: same nonce, higher fees, within the fee cap."""
    await _ask("bump", batch_id)
    click.echo(f"batch {batch_id} will be outbid by a higher bid of its own")


@settlement.command("cancel")
@_batch_id
@runs
async def cancel(batch_id: int) -> None:
    """Outbid it by a transaction that pays nobody; only a final block says which of them won."""
    await _ask("cancel", batch_id)
    click.echo(f"batch {batch_id} is to be cancelled; once final, its orders join another batch")


@settlement.command("retry")
@_batch_id
@runs
async def retry(batch_id: int) -> None:
    """Have the stored bytes said again with the worker's next look: to every endpoint that is not
    paused, and to the paused ones where those refuse for a reason that may pass."""
    await _ask("retry", batch_id)
    click.echo(f"batch {batch_id} is said again")


async def _ask(verb: str, batch_id: int) -> None:
    async with open_desk() as desk:
        await act(desk, ask_settlement(Actor(ACTOR), verb, batch_id, desk.clock.now()))


def _row(found: Settlement) -> tuple[str, ...]:
    batch = found.batch
    return (
        str(batch.id),
        batch.status,
        batch.network,
        batch.kind,
        str(batch.order_count),
        str(batch.nonce),
        str(len(batch.attempts)),
        "-" if found.confirmations is None else str(found.confirmations),
        _asked(found),
    )


def _asked(found: Settlement) -> str:
    asks = (("cancel", found.batch.cancel_asked_at), ("bump", found.batch.bump_asked_at))
    return ", ".join(f"{name} {moment:%H:%M:%S}" for name, moment in asks if moment is not None)


def _block(found: Settlement) -> str:
    batch = found.batch
    if batch.block_number is None:
        return "none holds it"
    seen = found.confirmations
    depth = "confirmations unknown" if seen is None else shown(seen, "confirmation")
    return f"{batch.block_number}, {depth}, transaction {batch.mined_ref}"


def _attempt(attempt: Attempt) -> tuple[str, ...]:
    sent = "no" if attempt.sent_at is None else f"{attempt.sent_at:%H:%M:%S}"
    fee = str(attempt.transaction.fees.max_fee_wei)
    pays = "nobody" if attempt.cancels else "its orders"
    return (attempt.transaction.ref, f"{attempt.signed_at:%H:%M:%S}", sent, fee, pays)


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
            await act(desk, begin_rebuild(Actor(ACTOR), network))
            chain = ports.chains[network]
            assert isinstance(chain, EvmChain)  # the only family so far; others bring a history
            rows, fiat = Rebuilding(desk.store.pool, ACTOR), desk.settings.currencies
            keys = desk.settings.facts_keys
            report = await Rebuild(ports, rows, chain.history, network, fiat, keys).run(start)
        await act(desk, end_rebuild(Actor(ACTOR), network, report.counts()))
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
