"""The real worker in a process of its own, wired by the real bootstrap, in a hurry.

Leases, pauses and time limits are short, so that what takes minutes in production takes seconds
here. ``CHAOS_SABOTAGE`` names a guard to be switched off in this process alone, ``CHAOS_STALL`` a
port's method after which the process stops itself once (SIGSTOP), as a machine freezes;
``store.open_batches:2`` is after the second call that found something.
"""

import asyncio
import os
import signal
from dataclasses import fields, replace
from typing import Any

from bridge.bootstrap import database_url, deployments_path, open_ports, open_wake, signers
from bridge.payments.stripe import StripePayments
from bridge.settings import Settings, load
from bridge.worker import Worker
from chain.deployment import load_deployments
from chain.evm.client import EvmChain
from chain.registry import load_network
from chain.rpc import RpcClient
from settlement.ports.bundle import Ports
from settlement.schedule import Policy
from tests.chaos.options import POLICY, READY

STRIPE_TIMEOUT_S = 2
RPC_TIMEOUT_MS = 2_500


def policy() -> Policy:
    known = {field.name for field in fields(Policy)}
    return Policy(**{name: value for name, value in POLICY.items() if name in known})


class Stalls:
    """Everything of ``port``, except that the process stops itself after the ``count``-th
    ``method``, once."""

    def __init__(self, port: Any, method: str, count: int) -> None:
        self._port = port
        self._method = method
        self._left = count

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._port, name)
        if name != self._method or not self._left:
            return attribute

        async def call(*args: Any, **kwargs: Any) -> Any:
            result = await attribute(*args, **kwargs)
            if result and self._left:  # one that found nothing to do is not worth it
                self._left -= 1
                if not self._left:
                    os.kill(os.getpid(), signal.SIGSTOP)
            return result

        return call


def stalled(ports: Ports, point: str) -> Ports:
    """``point``: ``payment.<method>``, ``store.<method>`` or ``chain.<method>``, and perhaps
    ``:<count>``."""
    where, _, count = point.partition(":")
    port, _, method = where.partition(".")
    if port == "chain":
        chains = {n: Stalls(chain, method, int(count or 1)) for n, chain in ports.chains.items()}
        return replace(ports, chains=chains)
    return replace(ports, **{port: Stalls(getattr(ports, port), method, int(count or 1))})


def hurried(ports: Ports, settings: Settings) -> Ports:
    """With adapters that do not wait for an answer as long as in production."""
    assert settings.stripe_api_key is not None
    chains = {}
    for name, deployment in load_deployments(deployments_path(settings)).items():
        rpc = RpcClient(
            deployment.rpc_urls, quorum=deployment.quorum, block_ms=300, timeout_ms=RPC_TIMEOUT_MS
        )
        chains[name] = EvmChain(load_network(name), deployment, rpc, signers(settings, deployment))
    payment = StripePayments(
        settings.stripe_api_key, api_base=settings.stripe_api_base, timeout_s=STRIPE_TIMEOUT_S
    )
    return replace(ports, payment=payment, chains=chains)


async def main() -> None:
    settings = load()
    async with open_ports(settings, policy=policy(), signing=False) as ports:
        ports = hurried(ports, settings)
        guard = os.environ.get("CHAOS_SABOTAGE")
        if guard:
            from tests.chaos.sabotage import GUARDS  # costs as much as all the rest

            ports = GUARDS[guard].disable(ports)
        if point := os.environ.get("CHAOS_STALL"):
            ports = stalled(ports, point)
        wake = await open_wake(database_url(settings))
        worker = Worker(ports, wake, tick_ms=settings.tick_ms, sweep_s=settings.sweep_s)
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        await worker.start()
        print(READY, flush=True)
        await stopped.wait()
        await worker.stop()
        await wake.stop()


def run() -> None:
    asyncio.run(main())
