"""Network names to their files, imported on demand: adding a network is adding a file."""

import importlib
import pkgutil

import chain.networks
from chain.network import Network
from settlement.errors import InvalidInput


def network_names() -> list[str]:
    """Every network that has a file."""
    return sorted(module.name for module in pkgutil.iter_modules(chain.networks.__path__))


def load_network(name: str) -> Network:
    """The facts of one network. Raises :class:`InvalidInput` for a name without a file."""
    if name not in network_names():
        known = ", ".join(network_names())
        raise InvalidInput(f"there is no network {name!r}; known: {known}", param="network")
    network: Network = importlib.import_module(f"chain.networks.{name}").NETWORK
    return network
