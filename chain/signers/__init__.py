"""Who signs. One file per kind of signer; :data:`SIGNERS` names them, each imported on demand.

A kind's module offers ``open_signer(settings)``. Adding a kind (a cloud's KMS, a hardware module)
is adding a file and a row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

from chain.errors import SignerError

SIGNERS: Mapping[str, str] = {
    "keystore": "chain.signers.keystore",
}


@dataclass(frozen=True, slots=True)
class Eip1559Transaction:
    """A dynamic-fee transaction (EIP-1559, type 2) before it is signed.

    ``to`` is a checksummed address, ``None`` to create a contract; fees are wei per unit of gas.
    """

    chain_id: int
    nonce: int
    to: str | None
    value_wei: int
    data: bytes
    gas_limit: int
    max_fee_wei: int
    priority_fee_wei: int


@dataclass(frozen=True, slots=True)
class SignedBytes:
    """What goes to the network, and the ``0x`` hash by which it can be found there."""

    raw: bytes
    hash: str


class EvmSigner(Protocol):
    """Holds one account's key, or knows who does. Never lets it out."""

    @property
    def address(self) -> str:
        """Checksummed (EIP-55)."""
        ...

    async def sign(self, transaction: Eip1559Transaction) -> SignedBytes:
        """Sign; sends nothing. Raises :class:`~chain.errors.SignerError`."""
        ...


def open_signer(kind: str, settings: Mapping[str, str]) -> EvmSigner:
    """The signer of ``kind``; what ``settings`` holds is that kind's business.

    Raises:
        SignerError: no such kind, or its settings do not lead to a usable key.
    """
    if kind not in SIGNERS:
        raise SignerError(f"no signer of kind {kind!r}; there are: {', '.join(SIGNERS)}")
    signer: EvmSigner = import_module(SIGNERS[kind]).open_signer(settings)
    return signer
