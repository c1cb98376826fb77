"""One spelling per address, and a refusal for what cannot be one.

:func:`normal_form` is for finding: it never refuses, since a listed address must be found however
somebody writes it. :func:`checked_form` is for taking in: checksums are verified, because a wrong
letter in a list entry would block nobody, or somebody else.

Sources: EIP-55; base58check (https://en.bitcoin.it/wiki/Base58Check_encoding); BIP-173 (bech32)
and BIP-350 (bech32m); prefixes from each chain's chainparams.
"""

import hashlib
import re
from collections.abc import Mapping

from eth_hash.auto import keccak

from settlement.errors import InvalidAddress

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_RIPPLE = "rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_END, _BECH32M_END = 1, 0x2BC830A3
_CASH = "bitcoincash:"
_CASH_TERMS = (0x98F2BC8E61, 0x79B76D99E2, 0xF33E5FB3C4, 0xAE2EABE2A8, 0x1E4F43E470)
_HEX = re.compile(r"0[xX][0-9a-fA-F]{40}")
_BARE = re.compile(r"[0-9a-fA-F]{40}")
_EVM = frozenset({"ETH", "ETC", "ARB", "BSC", "BNB", "MATIC", "POL", "BASE", "OP", "AVAX"})
"""Symbols of chains whose addresses are Ethereum's."""

_HRP: Mapping[str, str] = {"XBT": "bc", "BTC": "bc", "LTC": "ltc", "BTG": "btg"}
_VERSIONS: Mapping[str, frozenset[bytes]] = {
    "XBT": frozenset({b"\x00", b"\x05"}),
    "BTC": frozenset({b"\x00", b"\x05"}),
    "BSV": frozenset({b"\x00", b"\x05"}),
    "BCH": frozenset({b"\x00", b"\x05"}),
    "LTC": frozenset({b"\x30", b"\x32", b"\x05"}),
    "DASH": frozenset({b"\x4c", b"\x10"}),
    "BTG": frozenset({b"\x26", b"\x17"}),
    "XVG": frozenset({b"\x1e", b"\x21"}),
    "DOGE": frozenset({b"\x1e", b"\x16"}),
    "ZEC": frozenset({b"\x1c\xb8", b"\x1c\xbd"}),
    "TRX": frozenset({b"\x41"}),
}
"""Version bytes of pay-to-key and pay-to-script addresses, by OFAC's symbol."""


def normal_form(text: str) -> str:
    """The spelling under which an address is looked up: hex, bech32 and cashaddr without case (the
    last without its prefix, too), others exactly, since base58 means something by its case."""
    address = text.strip()
    if address[: len(_CASH)].lower() == _CASH:
        address = address[len(_CASH) :]
    if _BARE.fullmatch(address):
        return f"0x{address.lower()}"  # as some tools copy it; bare, nobody would find it
    if _HEX.fullmatch(address):
        return address.lower()
    head = address.lower().partition("1")[0]
    if head in _HRP.values() and address in (address.lower(), address.upper()):
        return address.lower()
    if address.isupper() and _is_cashaddr(address.lower()):
        return address.lower()
    return address


def checked_form(asset: str, text: str) -> str:
    """The normal form of an address of ``asset`` (OFAC's symbol, or a network's name).

    Raises :class:`~settlement.errors.InvalidAddress`. Where the chain's form is not known here, a
    text of letters and digits is taken as it is.
    """
    address, symbol = text.strip(), asset.strip().upper()
    if _BARE.fullmatch(address) and symbol not in _VERSIONS:
        address = f"0x{address}"
    if address[:2] in ("0x", "0X"):
        return _evm(address)
    if symbol in _EVM:
        raise InvalidAddress(f"not an address of {asset}: expected 0x and 40 hex digits")
    if symbol in _HRP and address.lower().startswith(f"{_HRP[symbol]}1"):
        return _bech32(_HRP[symbol], address)
    if symbol == "BCH" and not address.startswith(("1", "3")):
        return _cashaddr(address)
    if symbol in _VERSIONS:
        return _base58check(address, _VERSIONS[symbol], asset)
    if symbol in ("USDT", "USDC") and address.startswith("T"):
        return _base58check(address, _VERSIONS["TRX"], asset)
    if symbol == "XRP":
        return _base58check(address, frozenset({b"\x00"}), asset, _RIPPLE)
    if symbol in ("SOL", "SOLANA") and len(_base58(address, _BASE58)) != 32:
        raise InvalidAddress("not an address of Solana: expected 32 bytes in base58")
    if not re.fullmatch(r"[A-Za-z0-9]{20,128}", address):
        raise InvalidAddress(f"{address[:64]!r} is not an address")
    return normal_form(address)


def _evm(address: str) -> str:
    if not _HEX.fullmatch(address):
        raise InvalidAddress("not an address: expected 0x and 40 hex digits")
    digits = address[2:]
    if digits not in (digits.lower(), digits.upper()):
        marks = keccak(digits.lower().encode()).hex()
        pairs = zip(digits.lower(), marks, strict=False)
        if digits != "".join(d.upper() if mark > "7" else d for d, mark in pairs):
            raise InvalidAddress("the address fails its checksum (EIP-55)")
    return address.lower()


def _base58(text: str, alphabet: str) -> bytes:
    number = 0
    for letter in text:
        place = alphabet.find(letter)
        if place < 0:
            raise InvalidAddress(f"{letter!r} is no letter of base58")
        number = number * 58 + place
    zeros = len(text) - len(text.lstrip(alphabet[0]))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _base58check(text: str, versions: frozenset[bytes], asset: str, alphabet: str = _BASE58) -> str:
    raw = _base58(text, alphabet)
    body, check = raw[:-4], raw[-4:]
    if len(raw) < 5 or hashlib.sha256(hashlib.sha256(body).digest()).digest()[:4] != check:
        raise InvalidAddress("the address fails its checksum (base58check)")
    if not any(body.startswith(v) and len(body) == len(v) + 20 for v in versions):
        raise InvalidAddress(f"a base58 address, but not one of {asset}")
    return text


def _bech32(hrp: str, text: str) -> str:
    """BIP-173 for witness version 0, BIP-350 for all later ones."""
    if text not in (text.lower(), text.upper()):
        raise InvalidAddress("a bech32 address is all lower or all upper case")
    address = text.lower()
    letters = address[len(hrp) + 1 :]
    if not 14 <= len(address) <= 90 or any(letter not in _BECH32 for letter in letters):
        raise InvalidAddress("not a bech32 address: wrong length or letters")
    values = [_BECH32.index(letter) for letter in letters]
    spread = [ord(c) >> 5 for c in hrp] + [0] + [ord(c) & 31 for c in hrp]
    end = _BECH32_END if values[0] == 0 else _BECH32M_END
    if values[0] > 16 or _polymod(spread + values) != end:
        raise InvalidAddress("the address fails its checksum (bech32)")
    return address


def _cashaddr(text: str) -> str:
    """https://github.com/bitcoincashorg/bitcoincash.org/blob/master/spec/cashaddr.md, with or
    without its ``bitcoincash:``."""
    letters = text.lower().removeprefix(_CASH)
    if text not in (text.lower(), text.upper()) or any(c not in _BECH32 for c in letters):
        raise InvalidAddress("not an address of BCH: wrong letters")
    if not _is_cashaddr(letters):
        raise InvalidAddress("the address fails its checksum (cashaddr)")
    return letters


def _is_cashaddr(letters: str) -> bool:
    """Whether these lower-case letters after ``bitcoincash:`` pass its checksum of 40 bits."""
    if any(letter not in _BECH32 for letter in letters):
        return False
    check = 1
    values = [ord(c) & 31 for c in _CASH[:-1]] + [0] + [_BECH32.index(c) for c in letters]
    for value in values:
        top = check >> 35
        check = (check & 0x07FFFFFFFF) << 5 ^ value
        for place, term in enumerate(_CASH_TERMS):
            check ^= term if top >> place & 1 else 0
    return check == 1


def _polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for place, term in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= term if top >> place & 1 else 0
    return check
