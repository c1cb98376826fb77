"""What we put on a network: vault, tokens, lanes and endpoints. A JSON file, no secrets in it."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from settlement.errors import InvalidInput
from settlement.money import Asset

NATIVE = "0x" + "0" * 40
"""Where the chain's own coin is listed, which has no contract."""


@dataclass(frozen=True, slots=True)
class Token:
    """A listed token: its symbol, decimals, and contract address in normal form; the chain's own
    coin is listed at :data:`NATIVE`."""

    code: str
    scale: int
    address: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """One network's part of the file. ``lanes`` are the settler addresses, each with a keystore.

    ``quorum`` of the nodes at ``rpc_urls`` must agree where money depends on what they say; without
    it, the only one or the majority.
    ``escrow`` is the escrow contract, where there is one; the first lane operates new escrows.
    """

    network: str
    rpc_urls: tuple[str, ...]
    vault: str
    tokens: tuple[Token, ...]
    lanes: tuple[str, ...]
    quorum: int | None = None
    escrow: str | None = None

    @property
    def contracts(self) -> frozenset[str]:
        """Ours, where tokens would be lost: nobody's wallet."""
        own = {self.vault, *(token.address for token in self.tokens)}
        return frozenset(own if self.escrow is None else {*own, self.escrow})

    def check_native(self, native: Asset) -> None:
        """Raises :class:`InvalidInput` when another asset than ``native`` is listed as the chain's
        own coin, or another as it: it would be paid in the wrong one."""
        for token in self.tokens:
            if (token.address == NATIVE) != (token.code == native.code):
                raise InvalidInput(
                    f"{self.network}: {token.code} at {token.address}, not {native.code}"
                )
            if token.address == NATIVE and token.scale != native.scale:
                raise InvalidInput(f"{self.network}: {native.code} has {native.scale} decimals")

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
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{path} is not a deployment file: {error!r}") from error


def _read(name: str, entry: dict[str, Any]) -> Deployment:
    rpc_urls = _urls(name, entry["rpc_urls"])
    return Deployment(
        network=name,
        rpc_urls=rpc_urls,
        vault=entry["vault"],
        tokens=tuple(Token(**token) for token in entry["tokens"]),
        lanes=tuple(entry["lanes"]),
        quorum=_quorum(name, entry.get("quorum"), len(rpc_urls)),
        escrow=entry.get("escrow"),
    )


def _urls(name: str, urls: Any) -> tuple[str, ...]:
    """Messages count the URLs instead of showing them: a provider's URL is often the key to it."""
    if not isinstance(urls, list) or not urls:
        raise InvalidInput(f"{name}: rpc_urls must be a list with at least one URL")
    for place, url in enumerate(urls, 1):
        parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInput(f"{name}: number {place} of rpc_urls is no http or https URL")
        if url.rstrip("/") in (earlier.rstrip("/") for earlier in urls[: place - 1]):
            raise InvalidInput(f"{name}: number {place} of rpc_urls is listed twice: one vote each")
    return tuple(urls)


def _quorum(name: str, quorum: Any, urls: int) -> int | None:
    if quorum is None:
        return None
    if type(quorum) is not int or not 1 <= quorum <= urls:
        raise InvalidInput(f"{name}: quorum must be a whole number from 1 to {urls}, the URLs")
    return quorum


def save_deployment(path: Path, deployment: Deployment) -> None:
    """Add or replace one network's entry; the file is replaced in one step."""
    entries = load_deployments(path)
    entries[deployment.network] = deployment
    content = {}
    for name, entry in entries.items():
        fields = asdict(entry)
        del fields["network"]
        for optional in ("quorum", "escrow"):
            if fields[optional] is None:
                del fields[optional]
        content[name] = fields
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(draft, path)
