"""What an operator types: refusals first, then that it is done, written down and announced."""

from pathlib import Path

import asyncpg
import pytest

from bridge.rebuild import REASON
from bridge.storage.pages import Page
from bridge.storage.queries import Queries
from bridge.storage.store import PostgresStore
from bridge.storage.wake import WORK
from chain.deployment import save_deployment
from settlement.batch import BatchStatus
from settlement.ports.chain import ChainIdentity, Head
from settlement.ports.store import BatchChange
from tests.conformance.test_store_batches import planned
from tests.serve.conftest import Ground
from tests.serve.test_console import Say, aside, say
from tests.support.builders import NOW, Scene, signed
from tests.support.waiting import eventually

__all__ = ["say"]

LANE = "0xlane"


@pytest.fixture
def scene(postgres_store: PostgresStore) -> Scene:
    """An empty database."""
    return Scene(postgres_store)


async def audited(scene: Scene) -> list[tuple[str, str, str]]:
    rows = (await Queries(scene.store.pool).audit_log(None, Page())).rows
    return [(row.actor, row.action, row.object_id) for row in rows]


@pytest.mark.usefixtures("postgres_store")
@pytest.mark.parametrize("verb", ["show", "bump", "cancel", "retry"])
async def test_a_batch_that_is_not_there_is_refused(say: Say, verb: str) -> None:
    """By its number, and what is no number before that."""
    assert await aside(say, "settlement", verb, "7") == "no such settlement"
    assert "not a valid integer" in await aside(say, "settlement", verb, "seven")


async def test_a_decided_batch_is_refused_and_not_written_down(say: Say, scene: Scene) -> None:
    """Nothing about it can be changed any more."""
    lane, batch, _ = await planned(scene)
    await scene.store.apply_batch(lane, BatchChange(batch, BatchStatus.CANCELLED), NOW)
    for verb in ("bump", "cancel", "retry"):
        said = await aside(say, "settlement", verb, str(batch.id))
        assert said == f"settlement {batch.id} is cancelled: it is decided"
    assert await audited(scene) == []
    assert await aside(say, "settlement", "list", "--open") == "no batch is open\n"


async def test_what_is_asked_of_a_batch_is_stored_announced_and_written_down(
    say: Say, scene: Scene
) -> None:
    """The workers hear of it, and the batch shows it."""
    lane, batch, orders = await planned(scene)
    transaction = signed(batch.nonce)
    await scene.store.store_attempt(lane, batch, transaction, NOW)
    await scene.store.mark_sent(lane, batch, transaction, NOW)
    heard: list[str] = []
    async with scene.store.pool.acquire() as connection:

        def hear(_connection: asyncpg.Connection, _pid: int, channel: str, _said: str) -> None:
            heard.append(channel)

        await connection.add_listener(WORK, hear)
        for verb in ("bump", "cancel", "retry"):
            await aside(say, "settlement", verb, str(batch.id))
        await eventually(lambda: len(heard) == 3, what="three announcements")
        await connection.remove_listener(WORK, hear)
    [stored] = await scene.store.open_batches(lane)
    assert stored.bump_asked_at is not None
    assert stored.cancel_asked_at is not None
    assert stored.reminded_at is None
    done = [
        ("console", f"settlement.{verb}_asked", str(batch.id))
        for verb in ("retry", "cancel", "bump")
    ]
    assert await audited(scene) == done
    listed = await aside(say, "settlement", "list", "--open")
    assert f"{batch.id}" in listed
    assert "cancel" in listed
    shown = await aside(say, "settlement", "show", str(batch.id))
    assert transaction.ref in shown
    assert orders[0].id in shown
    assert transaction.raw.hex() not in shown


async def test_networks_and_lanes_are_paused_and_resumed(say: Say, scene: Scene) -> None:
    """An unknown one is refused; a second pause changes nothing."""
    await scene.lane()
    assert "not registered" in await aside(say, "networks", "pause", "nowhere")
    assert "no lane 0xnobody" in await aside(
        say, "networks", "pause", "local", "--lane", "0xnobody"
    )
    assert await aside(say, "networks", "pause", "local") == "local is paused\n"
    assert await aside(say, "networks", "pause", "local") == "local was paused before\n"
    assert await aside(say, "networks", "resume", "local") == "local goes on\n"
    assert await aside(say, "networks", "pause", "local", "--lane", LANE) == "0xlane is paused\n"
    assert "paused" in await aside(say, "networks", "lanes", "local")
    assert await aside(say, "networks", "resume", "local", "--lane", LANE) == "0xlane goes on\n"
    actions = [action for _actor, action, _object in await audited(scene)]
    assert actions == ["lane.resumed", "lane.paused", "network.resumed", "network.paused"]


class Stopped:
    """A network on a real chain, stopped for a reason."""

    def __init__(self, say: Say, scene: Scene, ground: Ground, folder: Path) -> None:
        self.say, self.scene, self.ground = say, scene, ground
        save_deployment(folder / "deployments.json", ground.deployment)

    async def register(self, **changes: str) -> None:
        seen = await self.ground.chain.identity()
        identity = ChainIdentity(
            changes.get("genesis", seen.genesis_hash), seen.vault_address, seen.vault_code_hash
        )
        await self.scene.store.register_network("local", identity, NOW)

    async def start(self, *words: str) -> str:
        return await aside(self.say, "networks", "start", "local", *words)

    async def reason(self) -> str | None:
        state = await self.scene.store.network("local")
        assert state is not None
        return state.stop_reason


@pytest.fixture
def stopped(say: Say, scene: Scene, ground: Ground, tmp_path: Path) -> Stopped:
    return Stopped(say, scene, ground, tmp_path)


async def test_a_network_starts_only_on_the_chain_that_was_paid_on(stopped: Stopped) -> None:
    """Another genesis, or a nonce that we never gave out, keep it stopped, whoever says yes."""
    await stopped.register(genesis="0xanother")
    assert await stopped.start("--yes") == "local is not stopped\n"
    await stopped.scene.store.stop_network("local", "another chain", NOW)
    assert "stays stopped: genesis is" in await stopped.start("--yes")
    assert await stopped.reason() == "another chain"
    assert await audited(stopped.scene) == []


async def test_a_network_that_is_being_rebuilt_is_not_started_by_hand(stopped: Stopped) -> None:
    """Half of what it paid is not written down yet."""
    await stopped.register()
    await stopped.scene.store.stop_network("local", REASON, NOW)
    assert "tidegate settlement rebuild local" in await stopped.start("--yes")
    assert await stopped.reason() == REASON


async def test_a_network_starts_when_a_person_says_so(stopped: Stopped) -> None:
    """Unasked it asks; what was understood is in the log beside who said it."""
    await stopped.register()
    await stopped.scene.store.note_head("local", Head(7, "0xh", 5), NOW)
    await stopped.scene.store.stop_network("local", "a dropped wire", NOW)
    assert "understood and gone?" in await stopped.start()
    assert await stopped.reason() == "a dropped wire"
    listed = await aside(stopped.say, "networks", "list")
    assert "stopped: a dropped wire" in listed
    assert stopped.ground.deployment.vault in listed
    said = await stopped.start("--yes")
    assert said == "local was stopped: a dropped wire\nlocal is started\n"
    assert await stopped.reason() is None
    [row] = (await Queries(stopped.scene.store.pool).audit_log(None, Page())).rows
    assert (row.action, row.data) == ("network.started", {"stop_reason": "a dropped wire"})
