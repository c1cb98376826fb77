"""Every sabotage still finds its guard: switched off on real adapters, without a storm.

Whether the audit notices is what ``make chaos-sabotage`` asks, which takes long; that a guard has
moved, so that nothing would be switched off at all, is noticed here at once.
"""

import os
import sys
import traceback
from pathlib import Path
from types import ModuleType

import pytest

from bridge.payments.stripe import StripePayments
from bridge.prices.static import StaticPrices, parse_prices
from bridge.storage.store import PostgresStore
from chain.deployment import Deployment
from chain.evm.client import EvmChain
from chain.gas.static import StaticGas
from chain.networks.local import NETWORK
from chain.rpc import RpcClient
from compliance_graph.screener import ListScreener
from settlement.ports.bundle import Ports
from settlement.ports.clock import SystemClock
from tests.chaos.sabotage import GUARDS, put, there
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.wrapping import Instead
from tests.support.forked import ForkedProcess
from tests.support.waiting import eventually_sync

NOBODY = "http://127.0.0.1:1"


def real_ports() -> Ports:
    """The adapters of a worker, none of which reaches anything."""
    deployment = Deployment("local", (NOBODY,), "0x" + "11" * 20, (), ())
    clock = SystemClock()
    return Ports(
        store=PostgresStore(None),
        payment=StripePayments("sk_test_nobody", api_base=NOBODY),
        screening=ListScreener([]),
        chains={"local": EvmChain(NETWORK, deployment, RpcClient([NOBODY]), {})},
        gas=StaticGas({"local": NETWORK}),
        prices=StaticPrices(parse_prices("DUSD=1.00 USD"), clock),
        clock=clock,
    )


def switch_all_off() -> None:
    """One process for each guard, since what one has switched off must not hide another."""
    for name, guard in GUARDS.items():
        if os.fork() == 0:
            status = 1
            try:
                guard.disable(real_ports())
                status = 0
            except Exception:
                traceback.print_exc()
            finally:
                os._exit(status)
        _, ended = os.wait()
        print(f"{name}: {'off' if ended == 0 else 'FAILED'}", flush=True)


def test_every_guard_that_can_be_switched_off_is_still_there(tmp_path: Path) -> None:
    """A guard that was renamed or moved is no longer sabotaged by what sabotaged it."""
    child = ForkedProcess("sabotage", switch_all_off, dict(os.environ), tmp_path / "log")
    try:
        eventually_sync(lambda: not child.alive, limit_s=60, what="all guards off")
    finally:
        child.stop()
    told = child.log_path.read_text()
    assert [f"{name}: off" for name in GUARDS] == told.splitlines(), told


def test_every_guard_has_a_scenario_that_needs_it() -> None:
    """And no scenario is left over from a guard that is gone."""
    assert set(SCENARIOS) == set(GUARDS)


def test_a_guard_that_has_moved_is_not_switched_off_in_vain() -> None:
    """Neither a module's name nor a port's method is made where there is none."""
    with pytest.raises(LookupError):
        there(ModuleType("settled"), "guard")
    with pytest.raises(LookupError):
        put(ModuleType("settled"), "guard", None)
    with pytest.raises(LookupError):
        Instead(StaticGas({}), {"quote": lambda *_: None})


def test_a_replacement_takes_what_the_method_takes() -> None:
    """One that lacks an argument would fail as no switched-off guard does."""
    with pytest.raises(TypeError):
        Instead(real_ports().chains["local"], {"inclusions": lambda _chain, _refs: None})
    with pytest.raises(TypeError):
        Instead(real_ports().payment, {"cancel": lambda _payment, _intent_id: None})


def test_a_guard_is_switched_off_wherever_it_was_imported() -> None:
    """``from module import guard`` keeps the real one, if only the module's own name changes."""

    def guard() -> str:
        return "on"

    modules = {name: ModuleType(name) for name in ("a_guards_home", "a_guards_user")}
    for module in modules.values():
        vars(module)["guard"] = guard
    sys.modules.update(modules)
    try:
        assert put(modules["a_guards_home"], "guard", lambda: "off") == list(modules)
    finally:
        for name in modules:
            del sys.modules[name]
    assert [vars(module)["guard"]() for module in modules.values()] == ["off", "off"]
