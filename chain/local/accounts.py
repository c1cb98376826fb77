"""The funded accounts of a local chain.

They come from the phrase that every development chain uses, so their keys are public knowledge:
worth something on a local chain alone, and never to be stocked anywhere else.
"""

from dataclasses import dataclass
from functools import cache

DEV_MNEMONIC = "test test test test test test test test test test test junk"
DEV_ACCOUNTS_COUNT = 10
LOCAL_CHAIN_ID = 31337


@dataclass(frozen=True, slots=True)
class DevAccount:
    """An account with 10,000 coins on a fresh local chain. ``private_key`` is ``0x`` hex."""

    address: str
    private_key: str


@cache
def dev_accounts() -> tuple[DevAccount, ...]:
    """The ten accounts, at ``m/44'/60'/0'/0/{0..9}`` (BIP-44)."""
    from eth_account import Account  # takes a second, and a restarted chain needs no accounts

    Account.enable_unaudited_hdwallet_features()
    keys = (
        Account.from_mnemonic(DEV_MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")
        for index in range(DEV_ACCOUNTS_COUNT)
    )
    return tuple(DevAccount(key.address, key.key.to_0x_hex()) for key in keys)
