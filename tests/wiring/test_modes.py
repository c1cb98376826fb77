"""Test and live never meet: keys, chains and lists of the wrong kind stop the start."""

from dataclasses import replace
from pathlib import Path

import pytest

from bridge.bootstrap import (
    DEMO_FEE_CAP_WEI,
    fee_caps,
    list_paths,
    open_payments,
    open_ports,
    open_services,
)
from bridge.settings import SettingsError, load
from chain.deployment import Deployment, save_deployment
from chain.networks.local import NETWORK


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
