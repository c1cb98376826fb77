"""`tidegate gas`: a network's fees at the console, and their picture."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bridge.storage.store import PostgresStore
from chain.gas import artifact
from chain.gas.market import Market
from chain.gas.store import GasStore
from chain.networks.local import NETWORK
from tests.gas.chains import mined
from tests.serve.test_console import Say, aside, say
from tests.support.builders import Scene

__all__ = ["say"]


@pytest.mark.usefixtures("postgres_store")
async def test_a_network_that_nobody_follows_is_said_so(say: Say) -> None:
    """And one that does not exist, and networks beside --due."""
    assert "no worker has followed the fees of local" in await aside(say, "gas", "show", "local")
    assert "nowhere" in await aside(say, "gas", "show", "nowhere")
    assert "--due chooses" in await aside(say, "gas", "train", "local", "--due")


async def test_fees_and_what_waits_are_printed_and_drawn(
    say: Say, postgres_store: PostgresStore, tmp_path: Path
) -> None:
    """Recent base fees, the fee that waiting orders wait for, a picture; `show` may be left out."""
    blocks, store = mined(60), GasStore(postgres_store.pool)
    market = Market(artifact.load(), NETWORK.block_ms)
    market.replay(blocks, None)
    now = datetime.now(UTC)
    await store.keep("local", blocks)
    await store.save_outlook("local", 159, now, {**market.report(), "waits": True})
    order = await Scene(postgres_store).captured()
    await postgres_store.pool.execute(
        "UPDATE orders SET authorized_at = $2 WHERE id = $1", order.id, now - timedelta(minutes=5)
    )
    said = await aside(say, "gas", "show", "local", "--plot", str(tmp_path / "fees.svg"))
    newest = gwei(blocks[-1].base_fee_wei)
    assert f" {newest}\n" in said
    assert "of the last 60 blocks: " in said
    below = gwei(dict(market.report()["reservations"])[200])
    until = f"{now + timedelta(minutes=5):%Y-%m-%d %H:%M:%S} UTC"
    assert f"waiting: 1 DUSD (standard), below {below} gwei, until {until}" in said
    drawn = ElementTree.parse(tmp_path / "fees.svg").getroot()
    assert drawn.tag.endswith("svg")
    assert len(drawn.findall("{*}polygon")) == 2
    short = await aside(say, "gas", "local")
    assert short.splitlines()[:2] == said.splitlines()[1:3]


def gwei(wei: int) -> str:
    return f"{wei // 10**9}.{wei % 10**9 // 1000:06d}"
