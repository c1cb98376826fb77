"""``tidegate inbox``: events that wait for a person."""

import click

from bridge.administering import replay_inbox as replaying
from bridge.console.context import ACTOR, act, open_desk, runs, table
from bridge.operating import Actor
from bridge.wording import shown


@click.group()
def inbox() -> None:
    """Provider events that were given up after several attempts."""


@inbox.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@runs
async def list_inbox(limit: int) -> None:
    """Dead letters, oldest first, and why each was given up."""
    async with open_desk() as desk:
        letters = await desk.queries.dead_letters(limit)
    if not letters:
        click.echo("no event was given up")
        return
    rows = [
        (
            d.event.id,
            d.event.type,
            f"{d.received_at:%Y-%m-%d %H:%M}",
            str(d.attempts),
            d.error or "",
        )
        for d in letters
    ]
    click.echo(table(rows, ("EVENT", "TYPE", "RECEIVED", "TRIES", "LAST ERROR")))


@inbox.command("replay")
@click.argument("event_ids", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every event that was given up.")
@runs
async def replay_inbox(event_ids: tuple[str, ...], every: bool) -> None:
    """Give events another full set of attempts. A replay has its effect once, like a delivery."""
    if bool(event_ids) == every:
        raise click.UsageError("name events, or say --all")
    async with open_desk() as desk:
        named = None if every else event_ids
        done = await act(desk, replaying(Actor(ACTOR), named, desk.clock.now()))
    count = 0 if done is None else int(str(done.data["count"]))
    click.echo(f"{shown(count, 'event')} will be worked again")
