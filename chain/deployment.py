"""What we put on a network: vault, tokens, lanes and endpoints. A JSON file, no secrets in it."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from settlement.errors import InvalidInput
from settlement.money import Asset


@dataclass(frozen=True, slots=True)
class Token:
    """A listed token: its symbol, decimals, and contract address in normal form."""

    code: str
    scale: int
    address: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """One network's part of the file. ``lanes`` are the settler addresses, each with a keystore.

    ``escrow`` is the escrow contract, where there is one; the first lane operates new escrows.
    """

    network: str
    rpc_urls: tuple[str, ...]
    vault: str
    tokens: tuple[Token, ...]
    lanes: tuple[str, ...]
    escrow: str | None = None

    @property
    def contracts(self) -> frozenset[str]:
        """Ours, where tokens would be lost: nobody's wallet."""
        own = {self.vault, *(token.address for token in self.tokens)}
        return frozenset(own if self.escrow is None else {*own, self.escrow})

    def asset(self, code: str) -> Asset:
        """Raises :class:`InvalidInput` for a token that is not listed."""
        for token in self.tokens:
            if token.code == code:
                return Asset(token.code, token.scale, self.network)
        raise InvalidInput(f"{code!r} is not listed on {self.network}", param="asset")


def load_deployments(path: Path) -> dict[str, Deployment]:
    """Read the file. Raises :class:`InvalidInput` saying what is wrong with it."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        return {name: _read(name, entry) for name, entry in content.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{path} is not a deployment file: {error!r}") from error


def _read(name: str, entry: dict[str, Any]) -> Deployment:
    return Deployment(
        network=name,
        rpc_urls=tuple(entry["rpc_urls"]),
        vault=entry["vault"],
        tokens=tuple(Token(**token) for token in entry["tokens"]),
        lanes=tuple(entry["lanes"]),
        escrow=entry.get("escrow"),
    )


def save_deployment(path: Path, deployment: Deployment) -> None:
    """Add or replace one network's entry; the file is replaced in one step."""
    entries = load_deployments(path)
    entries[deployment.network] = deployment
    content = {}
    for name, entry in entries.items():
        fields = asdict(entry)
        del fields["network"]
        content[name] = fields
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(draft, path)
