"""``tidegate treasury``: chain and ledger compared; put money in, adopt it, hand it on."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from bridge import administering
from bridge.bootstrap import deployments_path, keystore_folder, open_chain
from bridge.console.context import ACTOR, Desk, act, open_desk, runs, table
from bridge.operating import Actor
from bridge.settings import SettingsError
from bridge.treasury.books import AuditedBooks
from bridge.treasury.funding import FundingDesk, Goal
from bridge.treasury.holdings import Holding, adoption, between_books, holdings
from bridge.wording import decimal, money, shown
from chain.deployment import Deployment, load_deployments
from chain.evm.client import EvmChain
from chain.evm.treasury import Treasury
from chain.network import Network
from chain.registry import load_network
from chain.rpc import RpcClient
from chain.signers import SignedBytes, open_signer
from settlement.errors import InvalidInput
from settlement.ledger.accounts import PLATFORM, Account
from settlement.money import Money, parse_decimal

_network = click.option("--network", help="Not needed while the deployment has only one.")
_tenant = click.option("--tenant", help="Whose books; not needed while there is only one tenant.")


@dataclass(frozen=True, slots=True)
class Side:
    """One network, ready to be read."""

    network: Network
    deployment: Deployment
    chain: EvmChain
    rpc: RpcClient


@click.group()
def treasury() -> None:
    """Inventory of the vaults, and native coin of the lanes for gas."""


@treasury.command("status")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@_network
@runs
async def status(network: str | None, as_json: bool) -> None:
    """What the chain holds and what the ledger says. Status 1 when they differ for no reason."""
    async with open_desk() as desk, _side(desk, network) as side:
        found = await holdings(desk.store, side.chain, side.deployment)
        moving = await between_books(desk.store, side.network.name)
    click.echo(_as_json(found, moving) if as_json else _as_table(found, moving))
    if moving == 0 and any(holding.difference_minor for holding in found):
        raise click.exceptions.Exit(1)


@treasury.command("fund")
@click.argument("amount")
@click.argument("asset")
@click.option("--lane", is_flag=True, help="Native coin for gas, instead of inventory.")
@click.option("--keystore", type=click.Path(path_type=Path), help="The owner's key.")
@click.option("--password-file", type=click.Path(path_type=Path), help="Its password, mode 0600.")
@_network
@_tenant
@runs
async def fund(
    amount: str,
    asset: str,
    lane: bool,
    keystore: Path | None,
    password_file: Path | None,
    network: str | None,
    tenant: str | None,
) -> None:
    """Move AMOUNT of ASSET from the owner's account into the vault (or the lane) and book it.

    Demo tokens are minted. Interrupted, the next call finishes it; nothing is sent twice.
    """
    async with open_desk() as desk, _side(desk, network) as side:
        owner = _open_owner(desk, side, keystore, password_file)
        goal = await _goal(desk, side, amount, asset, lane, tenant)
        genesis = (await side.chain.identity()).genesis_hash
        books = AuditedBooks(desk.store.pool, desk.clock, Actor(ACTOR))
        funding = await FundingDesk(Path(desk.settings.state_dir), books).fund(
            owner, genesis, goal, lambda: _sign(owner, side, goal)
        )
    click.echo(f"{money(goal.amount)} at {goal.to}, booked; transaction {funding.ref}")


@treasury.command("adopt")
@_network
@_tenant
@runs
async def adopt_differences(network: str | None, tenant: str | None) -> None:
    """Book what the chain holds and the ledger does not know (somebody sent it there)."""
    async with open_desk() as desk, _side(desk, network) as side:
        moving = await between_books(desk.store, side.network.name)
        if moving:
            raise InvalidInput(
                f"{shown(moving, 'order')} being settled: wait until the chain is final about them"
            )
        adopted = 0
        for holding in await holdings(desk.store, side.chain, side.deployment):
            if holding.difference_minor > 0:
                is_gas = holding.account is Account.HOT_WALLET
                owner = PLATFORM if is_gas else (await desk.tenant(tenant)).id
                found = await adoption(desk.store, holding, owner)
                if await act(desk, administering.adopt(Actor(ACTOR), found, desk.clock.now())):
                    click.echo(f"booked {money(found.amount)} as {holding.account} of {owner}")
                    adopted += 1
    if not adopted:
        click.echo("the chain holds nothing that the ledger does not know")


@treasury.command("assign")
@click.argument("asset")
@_network
@_tenant
@runs
async def assign_advances(asset: str, network: str | None, tenant: str | None) -> None:
    """Hand what the platform has of ASSET in the vault to a tenant.

    It comes from lanes that paid orders of native coin themselves. Nothing moves on the chain.
    """
    async with open_desk() as desk, _side(desk, network) as side:
        owner, known = await desk.tenant(tenant), side.deployment.asset(asset)
        now = desk.clock.now()
        giving = administering.assign_advances(Actor(ACTOR), known, owner.id, now)
        done = await act(desk, giving)
    if done is None:
        click.echo("the platform has nothing of it")
    else:
        given = Money(int(str(done.data["amount_minor"])), known)
        click.echo(f"{money(given)} to {owner.id}")


@asynccontextmanager
async def _side(desk: Desk, name: str | None) -> AsyncIterator[Side]:
    deployments = load_deployments(deployments_path(desk.settings))
    if not deployments:
        raise SettingsError("no network is deployed; run `tidegate serve` or `tidegate setup`")
    if name is None and len(deployments) > 1:
        raise SettingsError(f"say which network with --network: {', '.join(deployments)}")
    name = name or next(iter(deployments))
    if name not in deployments:
        raise InvalidInput(f"{name} is not deployed; there is: {', '.join(deployments)}")
    network, deployment = load_network(name), deployments[name]
    rpc = RpcClient(deployment.rpc_urls, quorum=deployment.quorum)
    chain = open_chain(network, deployment, {})
    try:
        yield Side(network, deployment, chain, rpc)
    finally:
        await rpc.close()
        await chain.close()


def _open_owner(
    desk: Desk, side: Side, keystore: Path | None, password_file: Path | None
) -> Treasury:
    folder = keystore_folder(desk.settings)
    password = password_file or desk.settings.keystore_password_file or folder / "password"
    where = {
        "path": str(keystore or folder / "treasury.json"),
        "password_file": str(password),
    }
    return Treasury(side.network, side.rpc, open_signer("keystore", where))


async def _goal(
    desk: Desk, side: Side, amount: str, asset: str, lane: bool, tenant: str | None
) -> Goal:
    native = side.network.native
    known = native if asset == native.code else side.deployment.asset(asset)
    if lane and known != native:
        raise InvalidInput(f"a lane needs {native.code} for gas and holds nothing else")
    worth = Money(parse_decimal(amount, known.scale, param="amount"), known)
    if lane:
        return Goal(PLATFORM, Account.HOT_WALLET, worth, side.deployment.lanes[0])
    return Goal((await desk.tenant(tenant)).id, Account.VAULT, worth, side.deployment.vault)


async def _sign(owner: Treasury, side: Side, goal: Goal) -> SignedBytes:
    amount = goal.amount
    if amount.asset == side.network.native:
        return await owner.prepare_transfer(None, goal.to, amount.amount_minor)
    token = next(t.address for t in side.deployment.tokens if t.code == amount.asset.code)
    if side.network.local and await owner.owns(token):
        return await owner.prepare_mint(token, goal.to, amount.amount_minor)
    return await owner.prepare_transfer(token, goal.to, amount.amount_minor)


def _as_table(found: list[Holding], moving: int) -> str:
    rows = [
        (
            h.network,
            h.account,
            h.asset.code,
            decimal(h.chain_minor, h.asset.scale),
            decimal(h.ledger_minor, h.asset.scale),
            decimal(h.difference_minor, h.asset.scale) if h.difference_minor else "agree",
        )
        for h in found
    ]
    heads = ("NETWORK", "ACCOUNT", "ASSET", "CHAIN", "LEDGER", "DIFFERENCE")
    note = f"\n{shown(moving, 'order')} being settled: a difference is normal" if moving else ""
    return table(rows, heads) + note


def _as_json(found: list[Holding], moving: int) -> str:
    rows = [
        {
            "network": h.network,
            "account": h.account,
            "asset": h.asset.id,
            "chain_minor": str(h.chain_minor),
            "ledger_minor": str(h.ledger_minor),
            "difference_minor": str(h.difference_minor),
        }
        for h in found
    ]
    return json.dumps({"orders_being_settled": moving, "holdings": rows})
