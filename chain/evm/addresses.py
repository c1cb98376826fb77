"""Account addresses of the EVM family in their one normal form (EIP-55)."""

from collections.abc import Collection

from eth_utils.address import is_hex_address, to_checksum_address

from settlement.errors import InvalidAddress

_ZERO = "0x" + "0" * 40


def normalize_address(text: str, swallowing: Collection[str] = ()) -> str:
    """The EIP-55 form of ``text``.

    All-lower and all-upper hex carry no checksum and are taken; mixed case must be right, since a
    wrong letter is how a typing error shows. ``swallowing`` are our own contracts, where tokens
    would be lost. Raises :class:`~settlement.errors.InvalidAddress`.
    """
    if not text.startswith("0x") or not is_hex_address(text):
        raise InvalidAddress(
            "not an address of this network: expected 0x and 40 hex digits", param="wallet.address"
        )
    digits, address = text[2:], str(to_checksum_address(text))
    unmarked = digits in (digits.lower(), digits.upper())
    if not unmarked and text != address:
        raise InvalidAddress(
            "the address fails its checksum (EIP-55): check it for a typing error",
            param="wallet.address",
        )
    if address == _ZERO:
        raise InvalidAddress("the zero address burns tokens", param="wallet.address")
    if address in swallowing:
        raise InvalidAddress(
            "this is a contract of ours that would swallow the tokens", param="wallet.address"
        )
    return address
