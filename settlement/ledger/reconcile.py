"""Three books, compared: what the provider and the chain say against what the ledger says."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """``name`` (an account, an asset) differs: minor units by the ledger and by the other book."""

    name: str
    ledger_minor: int
    outside_minor: int


def differences(ledger: Mapping[str, int], outside: Mapping[str, int]) -> list[Difference]:
    """Every name on either side whose amounts differ; absent counts as zero."""
    names = sorted(ledger.keys() | outside.keys())
    return [
        Difference(name, ledger.get(name, 0), outside.get(name, 0))
        for name in names
        if ledger.get(name, 0) != outside.get(name, 0)
    ]
