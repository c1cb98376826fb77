"""Account addresses of the EVM family in their one normal form (EIP-55)."""

import re
from collections.abc import Collection

from eth_hash.auto import keccak

from settlement.errors import InvalidAddress

_ZERO = "0x" + "0" * 40
_RESERVED_MAX = 0xFFFF
"""Precompiles, today's and those that networks reserve (EIP-1352 asks for 0 to 0xffff)."""

_HEX_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def normalize_address(text: str, swallowing: Collection[str] = ()) -> str:
    """The EIP-55 form of ``text``.

    All-lower and all-upper hex carry no checksum and are taken; mixed case must be right, since a
    wrong letter is how a typing error shows. ``swallowing`` are our own contracts, where tokens
    would be lost. Raises :class:`~settlement.errors.InvalidAddress`.
    """
    if _HEX_ADDRESS.fullmatch(text) is None:
        raise InvalidAddress(
            "not an address of this network: expected 0x and 40 hex digits", param="wallet.address"
        )
    digits = text[2:]
    address = _marked(digits.lower())
    unmarked = digits in (digits.lower(), digits.upper())
    if not unmarked and text != address:
        raise InvalidAddress(
            "the address fails its checksum (EIP-55): check it for a typing error",
            param="wallet.address",
        )
    if address == _ZERO:
        raise InvalidAddress("the zero address burns tokens", param="wallet.address")
    if int(digits, 16) <= _RESERVED_MAX:
        raise InvalidAddress(
            "the lowest addresses are built-in contracts that nobody can spend from",
            param="wallet.address",
        )
    if address in swallowing:
        raise InvalidAddress(
            "this is a contract of ours that would swallow the tokens", param="wallet.address"
        )
    return address


def _marked(digits: str) -> str:
    """EIP-55: a letter is upper case where the hash of the lower-case digits has an 8 or more.

    Written out because every order passes here, and the library's way takes four times as long.
    """
    marks = keccak(digits.encode()).hex()
    pairs = zip(digits, marks, strict=False)  # the hash is longer than an address
    return "0x" + "".join([digit.upper() if mark > "7" else digit for digit, mark in pairs])
