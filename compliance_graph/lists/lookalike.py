"""Addresses made to be mistaken for another: the same first and last characters, as people compare.

Somebody who grinds keys until both ends agree with an address that a customer knows, and sends
dust from there, hopes to be copied from the history ("address poisoning"). Eight agreeing hex
digits by accident are one in four billion per known address.
"""

from collections.abc import Iterable

HEAD = 4
TAIL = 4
_CHAINS = ("0x", "bc1", "ltc1", "tb1")
"""What all addresses of a chain begin with says nothing."""


def ends(address: str) -> tuple[str, str]:
    """What an eye compares: the first and last characters behind the chain's own prefix."""
    text = address
    for prefix in _CHAINS:
        if address.lower().startswith(prefix):
            text = address[len(prefix) :].lower()
            break
    else:
        text = address[1:]  # base58: the first character follows from the kind of address
    return text[:HEAD], text[-TAIL:]


class Ends:
    """An index over many addresses by their ends."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self._by_ends: dict[tuple[str, str], list[str]] = {}
        for address in addresses:
            known = self._by_ends.setdefault(ends(address), [])
            if address not in known:
                known.append(address)

    def resembled(self, address: str) -> tuple[str, ...]:
        """Those of the addresses that ``address`` could be mistaken for, itself not."""
        return tuple(known for known in self._by_ends.get(ends(address), ()) if known != address)
