"""What goes wrong between us and a chain, as types that say what may be done next.

A node's texts differ by client and version; :mod:`chain.rpc_errors` maps them to these types once,
and nothing else in the project reads a node's text. Two questions are answered by the type alone:
may the request have had its effect (``ChainUnknown``: perhaps; ``ChainRefused``: no), and may the
same request succeed later (``transient``).

::

    ChainError                          (settlement.errors)
    ├── ChainUnknown                    no definite answer; never taken for a failure
    │   ├── RpcTimeout                  the request left, the answer did not come in time
    │   ├── EndpointDown                no connection, or a gateway's error page
    │   ├── RateLimited                 this endpoint wants us to slow down
    │   ├── UnclearAnswer               an answer whose meaning we do not know
    │   └── NoQuorum                    too few endpoints answered, or they contradict each other
    ├── ChainRefused                    a definite no from the node
    │   ├── AlreadyKnown                the same bytes are in its pool: as good as a success
    │   ├── NonceTooLow                 something with this nonce is mined: look what it was
    │   ├── NonceTooHigh                a gap before it that this node will not hold open
    │   ├── ReplacementUnderpriced      both fees must rise by more
    │   ├── Underpriced                 below what this node's pool takes; other nodes may take it
    │   ├── FeeCapBelowBase             the cap is below the base fee; fees fall again
    │   ├── EndpointFeeCap              this node's own safety cap; other nodes may take it
    │   ├── PoolFull                    the pool or the sender's part of it is full
    │   ├── InsufficientFunds           the sender cannot pay for value and gas
    │   ├── GasTooLow                   below the intrinsic cost
    │   ├── GasTooHigh                  above the block's or the transaction's limit
    │   ├── InvalidTransaction          malformed, wrong chain, wrong signature or type
    │   ├── InvalidRequest              the node does not understand us: our own fault
    │   ├── ExecutionReverted           the contract said no (``reason``, ``data``)
    │   ├── OutOfRange                  the block or state is not (or no more) at this node
    │   └── MethodUnavailable           the node does not serve this method
    └── LocalChainError                 the chain process that we start ourselves
        ├── BinaryMissing
        ├── PortTaken
        ├── FolderBusy                  another chain process works on this data folder
        ├── StateFileUnusable
        ├── ChildExited
        ├── NotReadyInTime
        └── ForeignChain                somebody else answers on our port
    SignerError                         a key that cannot be used; never shows the key
"""

from settlement.errors import ChainError, ChainRefused, ChainUnknown, TidegateError


class RpcTimeout(ChainUnknown):
    """The request left us and no answer came in time."""


class EndpointDown(ChainUnknown):
    """No connection, or a gateway answered in the node's place."""


class RateLimited(ChainUnknown):
    """The endpoint refused to serve us for now; for how long, if it said so."""

    def __init__(self, message: str = "", *, retry_after_ms: int = 0) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class UnclearAnswer(ChainUnknown):
    """The answer is no JSON-RPC, or an error that no row of the table knows."""


class NoQuorum(ChainUnknown):
    """Too few endpoints answered, or their answers contradict each other: ask again later."""


class AlreadyKnown(ChainRefused):
    """The node holds these very bytes."""


class NonceTooLow(ChainRefused):
    """The account's next nonce is higher: ours, or another transaction, was mined."""


class NonceTooHigh(ChainRefused):
    """The node holds no transactions beyond a gap (or beyond this one)."""

    transient = True


class ReplacementUnderpriced(ChainRefused):
    """Another transaction with this nonce is pooled, and our fees are not enough above it."""


class Underpriced(ChainRefused):
    """Below the pool's own minimum price."""

    transient = True


class FeeCapBelowBase(ChainRefused):
    """The fee cap is below the current base fee (EIP-1559)."""

    transient = True


class EndpointFeeCap(ChainRefused):
    """The node's operator limits what a transaction sent through it may cost."""

    transient = True


class PoolFull(ChainRefused):
    """The node has no room for the transaction now."""

    transient = True


class InsufficientFunds(ChainRefused):
    """The sender's coins do not cover value + gas limit x fee cap. Somebody must top it up."""


class GasTooLow(ChainRefused):
    """The gas limit does not cover the intrinsic cost, or the data floor (EIP-7623)."""


class GasTooHigh(ChainRefused):
    """The gas limit is above the block's, or above the cap per transaction (EIP-7825)."""


class InvalidTransaction(ChainRefused):
    """Malformed, of an unknown type, or signed for another chain."""


class InvalidRequest(ChainRefused):
    """Parameters or JSON that the node does not accept."""


class OutOfRange(ChainRefused):
    """The block or its state is unknown to this node: not there yet, or pruned."""

    transient = True


class MethodUnavailable(ChainRefused):
    """The node does not serve this method."""


class ExecutionReverted(ChainRefused):
    """The call reverted.

    ``data`` holds the raw revert data (``b""`` when the node gave none); ``reason`` the text of
    ``Error(string)`` or the node's own words.
    """

    def __init__(self, message: str = "", *, reason: str = "", data: bytes = b"") -> None:
        super().__init__(message or "execution reverted")
        self.reason = reason
        self.data = data


class LocalChainError(ChainError):
    """A chain process of our own did not do what it should. A person reads this message."""

    transient = False


class BinaryMissing(LocalChainError):
    """The program is not installed."""


class PortTaken(LocalChainError):
    """Another program listens on the port."""


class FolderBusy(LocalChainError):
    """A chain process (perhaps of an earlier run) still works on this data folder."""


class StateFileUnusable(LocalChainError):
    """The chain's saved state is damaged and there is no earlier copy."""


class ChildExited(LocalChainError):
    """The process ended by itself; the message holds the end of its log."""


class NotReadyInTime(LocalChainError):
    """The process runs but did not answer within the limit."""


class ForeignChain(LocalChainError):
    """Somebody answers on our port, but not the process that we started."""


class SignerError(TidegateError):
    """A signing key is missing, locked, or not the expected one. Never shows key or password."""
