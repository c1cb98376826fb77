"""Escrow contracts, free of any one chain's notions.

Two ports. :class:`EscrowScheme` is arithmetic: names, purses, messages, signatures; the API needs
no more, and never talks to a chain. :class:`EscrowPort` adds what has to be asked of a node.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from settlement.escrow import Attestation, Escrow, OnChain, Terms, What
from settlement.ports.chain import ContractCall


@dataclass(frozen=True, slots=True)
class Place:
    """How the contract names an escrow, and the purse that its funds are paid to."""

    ref: str
    purse: str


class EscrowScheme(Protocol):
    contract: str
    operator: str

    def place(self, terms: Terms) -> Place:
        """Where an escrow of these terms is: the same on every machine, without a node."""
        ...

    def signing(self, escrow: Escrow) -> Mapping[str, Any]:
        """What a signer needs: domain and types of the messages, ready for JSON."""
        ...

    def digest(self, escrow: Escrow, what: Attestation) -> str:
        """The digest of the message that has to be signed for ``what``, as the escrow stands."""
        ...

    def has_signed(self, signer: str, digest: str, signature: str) -> bool:
        """Whether the key behind ``signer`` signed; always ``False`` for contracts' signatures."""
        ...


class EscrowPort(Protocol):
    """Methods that talk to a node raise as those of :class:`~settlement.ports.chain.ChainPort`."""

    def call(self, terms: Terms, what: What) -> ContractCall:
        """What the operator's lane signs to have this done."""
        ...

    async def on_chain(self, escrow: Escrow) -> OnChain:
        """What the contract says at the newest final block."""
        ...
