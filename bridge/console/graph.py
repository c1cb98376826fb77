"""``tidegate graph``: what the transfer graph knows, and reading more of the past into it."""

import json
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

import click

from bridge.bootstrap import deployments_path
from bridge.console.context import Desk, open_desk, runs, table
from bridge.graph import open_feed
from bridge.settings import SettingsError
from chain.deployment import load_deployments
from chain.registry import load_network
from compliance_graph.backfill import read_file
from compliance_graph.follow import follow
from compliance_graph.sources.files import TransferFile
from compliance_graph.store import GraphStore, Source


@click.group()
def graph() -> None:
    """The transfer graph that wallets are screened by."""


@graph.command("status")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@runs
async def status(as_json: bool) -> None:
    """Each source: how far it has been read, and how many transfers it gave."""
    async with open_desk() as desk:
        sources = await GraphStore(desk.store.pool).sources()
    if as_json:
        click.echo(json.dumps([asdict(source) for source in sources], default=str))
    elif not sources:
        click.echo("the graph has no source yet; see `tidegate graph backfill`")
    else:
        heads = ("SOURCE", "NETWORK", "READ TO", "OF", "FINAL", "TRANSFERS", "REORGS", "UPDATED")
        click.echo(table([_row(source) for source in sources], heads))


@graph.command("backfill")
@click.argument("file", required=False, type=click.Path(path_type=Path, exists=True))
@click.option("--network", required=True, help="Whose transfers these are.")
@click.option("--asset", default="ETH", help="What FILE's amounts are, where it does not say.")
@click.option("--from-block", default=0, help="Where a chain that is new begins to be read.")
@runs
async def backfill(file: Path | None, network: str, asset: str, from_block: int) -> None:
    """Read FILE (CSV or Parquet), or without one the network's own chain, into the graph.

    Interrupted, the next call goes on where this one was; nothing is read twice.
    """
    async with open_desk() as desk, AsyncExitStack() as stack:
        store = GraphStore(desk.store.pool)
        if file is not None:
            done = await read_file(store, TransferFile(file, network, asset), _tell)
        else:
            done = await _follow(desk, stack, store, network, from_block)
    click.echo(f"{done.name}: {done.transfers} transfers in the graph")


async def _follow(
    desk: Desk, stack: AsyncExitStack, store: GraphStore, name: str, from_block: int
) -> Source:
    deployments = load_deployments(deployments_path(desk.settings))
    if name not in deployments:
        raise SettingsError(f"{name} is not deployed; there is: {', '.join(deployments) or 'none'}")
    feed = open_feed(stack, load_network(name), deployments[name])
    return await follow(store, feed, from_block, _tell)


def _tell(source: Source) -> None:
    of = f" of {source.target_block}" if source.target_block >= 0 else ""
    click.echo(f"read to {source.next_block - 1}{of}, {source.transfers} transfers", err=True)


def _row(source: Source) -> tuple[str, ...]:
    target = "" if source.target_block < 0 else str(source.target_block)
    final = str(source.final_block) if source.kind == "chain" else ""
    return (
        source.name,
        source.network,
        str(source.next_block - 1),
        target,
        final,
        str(source.transfers),
        str(source.rewinds),
        f"{source.updated_at:%Y-%m-%d %H:%M:%S}",
    )
