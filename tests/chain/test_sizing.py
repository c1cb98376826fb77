"""How many payouts fit into a transaction, on networks of any shape."""

from dataclasses import replace

import pytest

from chain.evm import vault
from chain.evm.sizing import TRANSACTION_BYTES_MAX, batch_size
from chain.evm.transactions import GAS_LIMIT_MAX
from chain.networks.local import NETWORK
from settlement.ports.chain import Payout


@pytest.mark.parametrize("gas", [-1, 0, 21_000, 400_000])
def test_too_little_gas_makes_no_payout(gas: int) -> None:
    """Not even one row beside the frame."""
    assert batch_size(NETWORK, gas) == 0


def test_the_gas_of_a_transaction_bounds_a_batch() -> None:
    """The network's limit, and the one that no transaction may pass anywhere."""
    wide = replace(NETWORK, max_batch=10**6)
    assert batch_size(replace(wide, gas_limit_max=1_000_000), 10**9) == 10
    assert batch_size(wide, 10**9) == batch_size(wide, GAS_LIMIT_MAX) < 280


def test_the_bytes_that_a_pool_takes_bound_a_batch() -> None:
    """However cheap a payout is; the largest batch stays below them."""
    cheap = replace(NETWORK, max_batch=10**6, gas_per_payout=1_000)
    count = batch_size(cheap, GAS_LIMIT_MAX)
    wallet = "0x" + "11" * 20
    rows = [Payout(f"ord_{n}", wallet, vault.AMOUNT_MAX_MINOR) for n in range(count)]
    data = vault.pay_batch_data(1, "0x" + "22" * 32, vault.NATIVE, rows)
    assert TRANSACTION_BYTES_MAX - 1_024 < len(data) < TRANSACTION_BYTES_MAX


def test_the_networks_own_choice_is_never_passed() -> None:
    """An operator may want smaller batches than would fit."""
    assert batch_size(replace(NETWORK, max_batch=7), GAS_LIMIT_MAX) == 7
