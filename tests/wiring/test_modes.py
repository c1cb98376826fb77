"""Test and live never meet: keys, chains and lists of the wrong kind stop the start."""

import io
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.bootstrap import (
    DEMO_FEE_CAP_WEI,
    fee_caps,
    list_paths,
    open_payments,
    open_ports,
    open_prices,
    open_services,
)
from bridge.logging import configure
from bridge.prices.market import MarketPrices
from bridge.prices.static import StaticPrices
from bridge.processes import run_worker
from bridge.settings import SettingsError, load
from chain.deployment import Deployment, save_deployment
from chain.networks.local import NETWORK
from settlement.ports.clock import SystemClock


@pytest.mark.parametrize(
    ("mode", "key"),
    [
        ("test", "sk_live_wiring"),
        ("test", "rk_live_wiring"),
        ("live", "sk_test_wiring"),
        ("live", ""),
    ],
)
def test_refuses_a_stripe_key_of_the_other_mode(mode, key):
    """Real money never moves because a variable was copied."""
    settings = load({"TIDEGATE_MODE": mode, "STRIPE_API_KEY": key})
    with pytest.raises(SettingsError, match="STRIPE_API_KEY"):
        open_payments(settings)


@pytest.mark.parametrize(("mode", "key"), [("test", "sk_test_wiring"), ("live", "sk_live_wiring")])
def test_takes_a_stripe_key_of_its_own_mode(mode, key):
    """The two halves fit."""
    assert open_payments(load({"TIDEGATE_MODE": mode, "STRIPE_API_KEY": key})) is not None


def test_live_mode_refuses_to_screen_by_invented_addresses():
    """The demo's list would clear everybody who matters; without a real one nobody is cleared."""
    assert list_paths(load({"TIDEGATE_MODE": "live"})) == []
    assert list_paths(load({}))


@pytest.mark.parametrize("opener", [open_ports, open_services])
async def test_live_mode_refuses_a_chain_that_exists_on_this_machine_only(
    opener, database_dsn, tmp_path: Path
):
    """Live money is not paid out on a toy."""
    path = tmp_path / "deployments.json"
    save_deployment(path, Deployment("local", ("http://127.0.0.1:1",), "0x" + "11" * 20, (), ()))
    environment = {
        "TIDEGATE_MODE": "live",
        "DATABASE_URL": database_dsn,
        "STRIPE_API_KEY": "sk_live_wiring",
        "TIDEGATE_DEPLOYMENTS": str(path),
        "TIDEGATE_ADDRESS_LISTS": str(tmp_path / "list.csv"),
    }
    with pytest.raises(SettingsError, match="local chain"):
        async with opener(load(environment)):
            raise AssertionError("it opened")


def test_live_mode_refuses_a_network_without_a_fee_cap():
    """Nobody has said how much may be bid there: a spike could empty the lane in one block."""
    networks = {name: replace(NETWORK, name=name, local=False) for name in ("ethereum", "base")}
    live = {"TIDEGATE_MODE": "live", "TIDEGATE_FEE_CAPS": "ethereum=200gwei"}
    with pytest.raises(SettingsError, match=r"TIDEGATE_FEE_CAPS.* base=200gwei"):
        fee_caps(load(live), networks)
    assert fee_caps(load({"TIDEGATE_FEE_CAPS": "ethereum=200gwei"}), networks) == {
        "ethereum": 200 * 10**9
    }


def test_a_local_chain_has_a_cap_of_its_own():
    """A demo needs no setting, and one that was made counts."""
    local = {"local": NETWORK}
    assert fee_caps(load({}), local) == {"local": DEMO_FEE_CAP_WEI}
    assert fee_caps(load({"TIDEGATE_FEE_CAPS": "local=2gwei"}), local) == {"local": 2 * 10**9}


def test_live_mode_refuses_a_worker_whose_facts_nobody_signs():
    """Whoever may edit an intent's metadata could say whom a rebuilt order pays."""
    with pytest.raises(SettingsError, match=r"TIDEGATE_FACTS_KEYS.* 32 characters"):
        run_worker(load({"TIDEGATE_MODE": "live"}))
    signed = {"TIDEGATE_MODE": "live", "TIDEGATE_FACTS_KEYS": "k" * 32}
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        run_worker(load(signed))


async def test_live_mode_refuses_a_table_as_its_only_prices():
    """Its defaults are a demo's; somebody has to say that they are meant."""
    live = {"TIDEGATE_MODE": "live"}
    async with AsyncExitStack() as stack:
        with pytest.raises(SettingsError, match="TIDEGATE_STATIC_PRICES_ARE_MEANT=true"):
            await open_prices(load(live), SystemClock(), stack)
        for meant in ({"TIDEGATE_STATIC_PRICES_ARE_MEANT": "true"}, {"TIDEGATE_MODE": "test"}):
            prices = await open_prices(load(live | meant), SystemClock(), stack)
            assert isinstance(prices, StaticPrices)
        exchanges = live | {"TIDEGATE_PRICE_SOURCES": "kraken,static"}
        assert isinstance(await open_prices(load(exchanges), SystemClock(), stack), MarketPrices)


@pytest.mark.parametrize(
    ("sources", "warns"), [("kraken,static", True), ("kraken,coinbase", False)]
)
async def test_one_exchange_alone_is_warned_of_at_the_start(sources, warns):
    """Nothing would notice that it is wrong."""
    said = io.StringIO()
    configure(stream=said)
    async with AsyncExitStack() as stack:
        await open_prices(load({"TIDEGATE_PRICE_SOURCES": sources}), SystemClock(), stack)
    configure()
    assert ("prices_from_one_exchange" in said.getvalue()) is warns


@pytest.mark.parametrize("opener", [open_ports, open_services])
async def test_worker_and_api_ask_the_same_prices(opener, database_dsn, tmp_path: Path):
    """What was quoted at the market is not looked at again in a table."""
    environment = {
        "DATABASE_URL": database_dsn,
        "STRIPE_API_KEY": "sk_test_wiring",
        "TIDEGATE_STATE_DIR": str(tmp_path),
        "TIDEGATE_PRICE_SOURCES": "kraken,coinbase",
        "TIDEGATE_GRAPH": "false",
    }
    async with opener(load(environment)) as opened:
        assert isinstance(opened.prices, MarketPrices)
