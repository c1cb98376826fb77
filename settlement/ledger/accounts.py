"""The chart of accounts. Each tenant has its own set, one balance per asset.

Debit-normal accounts hold what we have or have spent; credit-normal accounts hold what we owe
or have earned. An account that may never run dry is *guarded*: the database refuses an entry
that would take more out, pending entries included.
"""

from enum import StrEnum


class Account(StrEnum):
    """Account codes as stored and shown."""

    STRIPE = "stripe:receivable"
    """Captured card money that the provider holds for us (debit-normal)."""
    CUSTOMER = "customer:payable"
    """What customers have paid and not yet received (credit-normal)."""
    PROCESSING_FEES = "income:processing"
    NETWORK_FEES = "income:network"
    SPREAD = "income:spread"
    ROUNDING = "income:rounding"
    POSITION = "position"
    """The other side of a sale of one asset for another; its balance per asset is the risk."""
    VAULT = "vault:inventory"
    """Tokens in the vault, ours to pay out (debit-normal, guarded)."""
    HOT_WALLET = "hot_wallet"
    """Native coin of the signing accounts, for gas (debit-normal)."""
    GAS = "expense:gas"
    TREASURY = "treasury:equity"
    """Where inventory and gas money come from (credit-normal)."""
    REFUND_LOSS = "loss:refunds"
    """Money that went back although the tokens had left."""
    CHAIN_LOSS = "loss:chain"
    """Inventory of a chain that is gone (a replaced demo chain)."""
    ESCROW_HELD = "escrow:held"
    """Tokens in the purses of escrows: not ours, but ours to release (debit-normal, guarded)."""
    ESCROW_OWED = "escrow:owed"
    """Whom they will go to: payees and payers together (credit-normal)."""


DEBIT_NORMAL = frozenset(
    {
        Account.STRIPE,
        Account.POSITION,
        Account.VAULT,
        Account.HOT_WALLET,
        Account.GAS,
        Account.REFUND_LOSS,
        Account.CHAIN_LOSS,
        Account.ESCROW_HELD,
    }
)

GUARDED = frozenset({Account.VAULT, Account.ESCROW_HELD})
"""``credits_posted + credits_pending <= debits_posted`` is a CHECK constraint for these."""

PLATFORM = "platform"
"""The tenant whose books hold what no single tenant pays for, such as a batch's gas."""
