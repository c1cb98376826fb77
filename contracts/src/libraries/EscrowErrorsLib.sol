// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

/// @title EscrowErrorsLib
/// @notice Everything that the escrow and its purses refuse, in one place.
library EscrowErrorsLib {
    /* TERMS */

    /// @notice Thrown when funds under these terms could only go astray: payee or payer is zero, the
    /// escrow contract, or the asset itself.
    error InvalidTerms();

    /* WHO */

    /// @notice Thrown when anybody but the operator wants funds moved before `until`.
    error OperatorOnly(uint256 until);

    /// @notice Thrown when `account` is neither the payer nor the payee, or not the party that it acts for.
    error NotParty(address account);

    /// @notice Thrown when the signature is not `signer`'s, or is one about something else: another
    /// escrow, another chain, other amounts, or a state of the escrow that has passed.
    error InvalidSignature(address signer);

    /// @notice Thrown when a release is asked for under terms that name no oracle.
    error NoOracle();

    /// @notice Thrown when a dispute is raised under terms that name no arbiter.
    error NoArbiter();

    /// @notice Thrown when somebody other than the escrow wants a purse to pay.
    error NotEscrow(address caller);

    /* WHEN */

    /// @notice Thrown when the escrow has ended, and nothing but what is owed or too much can leave it.
    error AlreadyEnded(bytes32 id);

    /// @notice Thrown when the surplus is asked for before the escrow has ended.
    error NotEnded(bytes32 id);

    /// @notice Thrown when the call may be made from `time` on, in seconds.
    error TooEarly(uint256 time);

    /// @notice Thrown when a dispute is raised at the expiry or later.
    error TooLate(uint256 expiry);

    /// @notice Thrown while a dispute is open; unless resolved before, it lapses at `until`.
    error DisputeOpen(uint256 until);

    /// @notice Thrown when the arbiter decides what nobody disputed.
    error NoDispute();

    /// @notice Thrown when a party raises a second dispute: its signature could be used again and again.
    error DisputedBefore(address by);

    /* HOW MUCH */

    /// @notice Thrown when the call would move nothing.
    error NothingToPay();

    /// @notice Thrown when more is asked for than there is to give.
    error TooMuch(uint256 asked, uint256 left);

    /// @notice Thrown when the oracle attests more than the escrow is about.
    error TotalAboveAmount(uint256 total, uint256 amount);

    /* PAYMENTS */

    /// @notice Thrown when the asset is the one that the terms are about, by this or another address.
    error NotAnotherAsset(address asset);

    /// @notice Thrown when a claim names an address where the funds could only go astray.
    error InvalidRecipient(address to);

    /// @notice Thrown when the payment failed: the token or the recipient refused it, or the purse holds
    /// no less than before.
    error NotPaid(address asset, address to, uint256 amount);

    /// @notice Thrown when the gas left could starve the payment: a recipient must never look bad because
    /// the sender was stingy.
    error InsufficientGas();
}
