"""``tidegate gas``: a network's fees, what is thought of them, and training on what was seen."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from bridge.console.context import Desk, open_desk, runs, table
from bridge.gas import train_in_turn
from bridge.settings import SettingsError
from bridge.storage.fees import FeeReport, Outlook
from chain.gas.chart import draw
from chain.registry import load_network
from settlement.errors import NotFound
from settlement.money import format_minor

_SHOWN = timedelta(days=30)
_NEWEST = 8


class _ShowByDefault(click.Group):
    """``tidegate gas base`` is short for ``tidegate gas show base``."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        is_command = bool(args) and args[0] in self.commands
        return super().resolve_command(ctx, args if is_command else ["show", *args])


@click.group(cls=_ShowByDefault)
def gas() -> None:
    """When to send: fees, forecasts, decisions."""


@gas.command("show")
@click.argument("network")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw it to this file, as SVG.")
@runs
async def show(network: str, plot: Path | None) -> None:
    """The newest forecast of a network, what waits, the newest decisions, and what was saved."""
    known = load_network(network)
    async with open_desk() as desk:
        outlook = await _outlook(desk, network)
        history = await desk.queries.fee_blocks(network, 300)
        decisions = await desk.queries.fee_decisions(network, 10)
        waiting = await desk.queries.waiting_for(network)
        now = desk.clock.now()
        report = await desk.queries.fee_report(network, now - _SHOWN)
    if plot is not None:
        _draw(plot, outlook, history)
    click.echo(_recent(history))
    click.echo(_forecast(outlook))
    for one in waiting:
        below = one.below_wei(outlook, known.block_ms, now)
        when = "at any fee" if below is None else f"below {_gwei(below)} gwei"
        until = f"{one.until:%Y-%m-%d %H:%M:%S} UTC"
        click.echo(f"waiting: {one.orders} {one.asset} ({one.speed}), {when}, until {until}")
    if decisions:
        heads = ("DECIDED", "ASSET", "WHY", "SENT", "FEE", "BELOW", "PAID", "BEST")
        click.echo(table([_decision(row) for row in decisions], heads))
    click.echo(_report(report, known.native.scale, known.native.code))


def _draw(plot: Path, outlook: Outlook, history: Sequence[Mapping[str, Any]]) -> None:
    content = outlook.content
    blocks = [(row["number"], row["base_fee_wei"]) for row in history]
    bands, reservations = content["bands"], content["reservations"]
    plot.write_text(draw(outlook.network, blocks, content["next_fee_wei"], bands, reservations))
    click.echo(f"drawn to {plot}")


@gas.command("train")
@click.argument("networks", nargs=-1)
@click.option("--due", is_flag=True, help="Only what is older than TIDEGATE_GAS_RETRAIN_H.")
@runs
async def train(networks: tuple[str, ...], due: bool) -> None:
    """Train on the stored history (all followed networks, or those named), and promote what is
    better on the newest blocks, which it has not seen. Needs the extra `gas`."""
    if due and networks:
        raise click.UsageError("--due chooses the networks itself")
    async with open_desk() as desk:
        every = timedelta(hours=desk.settings.gas_retrain_h) if due else None
        if every is not None and not every:
            raise SettingsError("TIDEGATE_GAS_RETRAIN_H is 0: training is never due")
        async for line in train_in_turn(desk.store.pool, desk.clock, networks, due_every=every):
            click.echo(line)


async def _outlook(desk: Desk, network: str) -> Outlook:
    found = await desk.queries.outlooks(network)
    if not found:
        raise NotFound(f"no worker has followed the fees of {network} yet")
    return found[0]


def _recent(history: Sequence[Mapping[str, Any]]) -> str:
    """The newest base fees one by one, and the range of all that were read."""
    fees = [row["base_fee_wei"] for row in history]
    if not fees:
        return "no blocks are stored"
    newest = " ".join(_gwei(fee) for fee in fees[-_NEWEST:])
    low, high = _gwei(min(fees)), _gwei(max(fees))
    return f"base fees, gwei: {newest}\nof the last {len(fees)} blocks: {low} to {high}"


def _forecast(outlook: Outlook) -> str:
    content = outlook.content
    reservations = dict(content["reservations"])
    rows = [
        (
            str(blocks),
            *(_gwei(fee) for fee in (quantiles[0], quantiles[2], quantiles[-1])),
            _gwei(reservations.get(blocks)),
        )
        for blocks, quantiles in content["bands"]
    ]
    head = (
        f"block {outlook.head_number}, seen {outlook.seen_at:%Y-%m-%d %H:%M:%S} UTC; the next asks "
        f"{_gwei(content['next_fee_wei'])} gwei"
    )
    waits = "" if content["waits"] else "\norders do not wait on this network (TIDEGATE_GAS_POLICY)"
    heads = ("BLOCKS", "10%", "MEDIAN", "90%", "LEAVES BELOW")
    return f"{head}{waits}\n{table(rows, heads)}"


def _decision(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{row['decided_at']:%m-%d %H:%M:%S}",
        str(row["asset"]),
        str(row["reason"]),
        f"{row['sent']} of {row['orders']}",
        *(_gwei(row[name]) for name in ("fee_wei", "below_wei", "paid_wei", "best_wei")),
    )


def _report(report: FeeReport, scale: int, code: str) -> str:
    def coins(wei: int) -> str:
        sign = "-" if wei < 0 else ""
        return f"{sign}{format_minor(abs(wei), scale)} {code}"

    lines = [
        f"30 days: {report.batches} batches, {coins(report.quoted_wei)} quoted, "
        f"{coins(report.paid_wei)} paid, difference {coins(report.quoted_wei - report.paid_wei)}"
    ]
    captured = report.captured_millionths
    if captured is not None:
        share = f"{captured // 10_000}% of what perfect foresight would have saved"
        lines.append(f"{share}, {report.orders} orders")
    return "\n".join(lines)


_ANY_WEI = 10**15
"""Where the bound of the fee's own rule says nothing any more: a million gwei."""


def _gwei(wei: object) -> str:
    """Whole gwei and six digits, without a float in between."""
    if not isinstance(wei, int):
        return "-"
    if wei >= _ANY_WEI:
        return "any"
    return f"{wei // 10**9}.{wei % 10**9 // 1000:06d}"
