"""Typed data (EIP-712): what a wallet shows and signs, hashed here as the contract hashes it.

Only flat structs of fixed-size members, which is all that our contracts ask to be signed.
https://eips.ethereum.org/EIPS/eip-712
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coincurve import PublicKey
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from chain.evm.addresses import normalize_address
from settlement.errors import InvalidAddress

_DOMAIN = (
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
)
_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_SIGNATURE_BYTES = 65

Fields = Sequence[tuple[str, str]]
"""Name and type of each member, in order."""


@dataclass(frozen=True, slots=True)
class Domain:
    """Which contract on which chain a signature is for."""

    name: str
    version: str
    chain_id: int
    contract: str

    def members(self) -> dict[str, Any]:
        values = (self.name, self.version, self.chain_id, self.contract)
        return dict(zip((name for name, _ in _DOMAIN), values, strict=True))

    def digest(self, name: str, fields: Fields, values: Mapping[str, Any]) -> bytes:
        """The 32 bytes that are signed for one message."""
        return keccak(b"\x19\x01" + self._separator() + _struct_hash(name, fields, values))

    def _separator(self) -> bytes:
        members = (
            keccak(text=self.name),
            keccak(text=self.version),
            self.chain_id,
            self.contract,
        )
        types = ["bytes32", "bytes32", "bytes32", "uint256", "address"]
        return keccak(encode(types, [_type_hash("EIP712Domain", _DOMAIN), *members]))


def described(fields: Fields) -> list[dict[str, str]]:
    """A type as wallets and libraries take it."""
    return [{"name": name, "type": type_} for name, type_ in fields]


def _struct_hash(name: str, fields: Fields, values: Mapping[str, Any]) -> bytes:
    types = ["bytes32", *(type_ for _, type_ in fields)]
    return keccak(encode(types, [_type_hash(name, fields), *(values[f] for f, _ in fields)]))


def _type_hash(name: str, fields: Fields) -> bytes:
    return keccak(text=f"{name}({','.join(f'{type_} {field}' for field, type_ in fields)})")


def signer_of(digest: bytes, signature: bytes) -> str | None:
    """Whose key signed; ``None`` for what no contract of OpenZeppelin's would take as a signature.

    65 bytes ``r, s, v``, ``v`` 27 or 28, and the lower of the two values of ``s`` (EIP-2).
    """
    if len(signature) != _SIGNATURE_BYTES or signature[64] not in (27, 28):
        return None
    if int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        return None
    recoverable = signature[:64] + bytes([signature[64] - 27])
    try:
        key = PublicKey.from_signature_and_message(recoverable, digest, hasher=None)
        return normalize_address("0x" + keccak(key.format(compressed=False)[1:])[12:].hex())
    except (ValueError, InvalidAddress):  # no point of the curve has such an r
        return None
