"""From what nodes say to :mod:`chain.errors`: the one table, and how to read an error object.

The same refusal comes as many texts: by client, by version, wrapped by a proxy in ``-32603``, or
hidden in a nested ``data``. Codes help little, because clients give one code different meanings
(``-32005`` is "slow down" to EIP-1474 and "gas limit" to Besu). So texts decide, anywhere in the
error object, and codes only when no text does. What no row knows is unclear, never a failure.

Sources: go-ethereum ``core/error.go`` and ``core/txpool/errors.go``; Erigon ``txpoolcfg``;
Nethermind ``AcceptTxResult.cs``; Besu ``RpcErrorType.java``; Foundry ``anvil/src/eth/error.rs``;
OpenEthereum ``rpc/src/v1/helpers/errors.rs``; zkSync Era ``SubmitTxError``; CometBFT's mempool;
py-evm ``validation.py``; EIP-1474 for codes.
"""

import re
from collections.abc import Iterator
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError

from chain.errors import (
    AlreadyKnown,
    EndpointDown,
    EndpointFeeCap,
    ExecutionReverted,
    FeeCapBelowBase,
    GasTooHigh,
    GasTooLow,
    InsufficientFunds,
    InvalidRequest,
    InvalidTransaction,
    MethodUnavailable,
    NonceTooHigh,
    NonceTooLow,
    OutOfRange,
    PoolFull,
    RateLimited,
    ReplacementUnderpriced,
    RpcTimeout,
    UnclearAnswer,
    Underpriced,
)
from settlement.errors import ChainError

_ERROR_STRING = bytes.fromhex("08c379a0")  # Error(string)
_PANIC = bytes.fromhex("4e487b71")  # Panic(uint256)
_SHOWN_CHARS_MAX = 300

# First match wins: the special before the general ("replacement … underpriced" contains the other).
_TEXTS: tuple[tuple[type[ChainError], str], ...] = (
    (ExecutionReverted, r"execution reverted|^reverted|vm execution error|transaction reverted"),
    (ExecutionReverted, r"vm exception while processing transaction: revert"),
    # "unknown transaction type" is the opposite of a known transaction.
    (AlreadyKnown, r"already ?known|(?<!un)known transaction|already ?imported|duplicate ?hash"),
    (AlreadyKnown, r"same hash was already imported|existing tx with same hash"),
    (AlreadyKnown, r"\b(tx|transaction) already (exists?|in)( in)?( the)? ?(mempool|cache|pool|$)"),
    (NonceTooLow, r"nonce (is )?too low|oldnonce|nonce is below|nonce already used|pool\(stale\)"),
    (NonceTooLow, r"invalid transaction nonce|transaction already finalized|too stale nonce"),
    (NonceTooHigh, r"nonce (is )?too high|noncegap|nonce gap|nonce too (far|distant)|gapped-nonce"),
    (NonceTooHigh, r"noncetoofarinfuture|nonce is too distant|too far in the future"),
    (ReplacementUnderpriced, r"replacement (transaction|fee|not ?allowed)|replacementnotallowed"),
    (ReplacementUnderpriced, r"insufficient gas price to replace|ownnoncealreadyused"),
    (ReplacementUnderpriced, r"another transaction with same nonce in the queue"),
    (ReplacementUnderpriced, r"could not replace existing tx|tries to replace pending"),
    (ReplacementUnderpriced, r"tx which has the same nonce|tx with same nonce already inserted"),
    (EndpointFeeCap, r"exceeds the configured cap|fee cap exceeded|tx fee .* exceeds"),
    (FeeCapBelowBase, r"less than block base fee|lower than block's base fee|below base fee"),
    (FeeCapBelowBase, r"max ?fee ?per ?gas (is )?(below|less|lower)|gas price below current base"),
    (Underpriced, r"underpriced|gas price too low|fee ?too ?low|below configured minimum"),
    (Underpriced, r"gas price is too low|tip (cap )?.*below|min(imum)? (gas )?(tip|price)"),
    (Underpriced, r"less than gas price minimum|max fee per gas too low"),
    (PoolFull, r"(tx)? ?pool (is )?full|queue full|account limit exceeded|too many transactions"),
    (PoolFull, r"tx dropped due to|transaction pool limit|pending transaction limit"),
    (PoolFull, r"in-flight transaction limit|exceeded sender's pool|address already reserved"),
    (
        InsufficientFunds,
        r"insufficient ?(funds|balance)|upfront cost exceeds|not enough (funds|bal)",
    ),
    (
        InsufficientFunds,
        r"does not have enough (funds|balance)|overshot|lack of funds|out of balance",
    ),
    (GasTooLow, r"intrinsic ?gas (too low|exceeds)|gas is too low|floor (data )?gas|intrinsicgas$"),
    (GasTooLow, r"gas limit below intrinsic|message\.gas cannot be negative|insufficient gas for"),
    (
        GasTooHigh,
        r"exceeds block gas limit|block gas limit|gas ?limit ?(reached|exceeded|too high)",
    ),
    (GasTooHigh, r"intrinsic gas too high|gas limit is greater|beyond limit|exceeds gas limit"),
    (GasTooHigh, r"exceeds current gas limit|gas required exceeds allowance"),
    # A rate limit's text may name the chain it is for: only a complaint about it counts.
    (InvalidTransaction, r"(invalid|wrong|incorrect|unexpected|different)[^;:]{0,20}chain ?id"),
    (InvalidTransaction, r"chain ?id[^;]{0,30}(mismatch|match|invalid|for signer|expected)"),
    (InvalidTransaction, r"invalid sender|invalid signature|failed to ?(recover|resolve)"),
    (InvalidTransaction, r"(unknown|invalid|unsupported) transaction( type)?|type not supported"),
    (InvalidTransaction, r"transaction type|\brlp\b|oversized data|negative value"),
    (InvalidTransaction, r"only replay-protected|transaction validation"),
    (InvalidTransaction, r"max priority fee per gas higher|greater than `max_fee_per_gas`"),
    (
        InvalidTransaction,
        r"failed to decode|sender not an eoa|senderiscontract|gas uint64 overflow",
    ),
    (InvalidTransaction, r"invalid transaction|initcode|int256overflow|signed for another chain"),
    (
        OutOfRange,
        r"header not found|block (#?\w+ )?not found|unknown block|blockoutofrange|missing trie",
    ),
    (OutOfRange, r"could not find block|data is not available|unfinalized data|tag not supported"),
    (OutOfRange, r"resource not found|state (is )?not available|pruned|historical state|no state"),
    (OutOfRange, r"beyond (current )?head|greater than latest|ancient block"),
    (RateLimited, r"rate ?limit|too many requests|request limit|capacity exceeded|compute units"),
    (RateLimited, r"limit exceeded|quota|throughput|daily request count|limit (is |was )?reached"),
    (RateLimited, r"exceeded the \w+ limit|request rate|calls per sec|requests per sec"),
    (RpcTimeout, r"timed? ?out|deadline exceeded|context canceled"),
    (EndpointDown, r"bad gateway|service unavailable|no backends|upstream|connection refused"),
    (EndpointDown, r"node is syncing|still syncing|not synced|unable to connect|connection reset"),
    (EndpointDown, r"unauthorized|must be authenticated|invalid (api key|project id)"),
    (MethodUnavailable, r"method .*(not|n't) (found|exist|support|available|allowed|whitelisted)"),
    (MethodUnavailable, r"unsupported method|not implemented|unimplemented"),
)
_TABLE = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _TEXTS)

_CODES: dict[int, type[ChainError]] = {
    3: ExecutionReverted,
    429: RateLimited,
    -32005: RateLimited,
    -32600: InvalidRequest,
    -32601: MethodUnavailable,
    -32602: InvalidRequest,
    -32700: InvalidRequest,
}


def translate(error: Any) -> ChainError:
    """The typed error for the ``error`` member of a JSON-RPC answer, whatever its shape."""
    texts = [text for text in _strings(error) if not text.startswith("0x")]
    shown = "; ".join(dict.fromkeys(texts))[:_SHOWN_CHARS_MAX] or "the node gave no message"
    kind = _by_text(texts) or _by_code(error) or UnclearAnswer
    if kind is ExecutionReverted:
        data = _revert_data(error)
        return ExecutionReverted(shown, reason=revert_reason(data) or shown, data=data)
    if kind is RateLimited:
        return RateLimited(shown, retry_after_ms=_backoff_ms(error))
    return kind(shown)


def revert_reason(data: bytes) -> str:
    """The text of ``Error(string)`` or the code of ``Panic(uint256)``; else an empty string."""
    try:
        if data[:4] == _ERROR_STRING:
            return str(abi_decode(["string"], data[4:])[0])
        if data[:4] == _PANIC:
            return f"panic 0x{abi_decode(['uint256'], data[4:])[0]:02x}"
    except (DecodingError, ValueError):
        return ""
    return ""


def _by_text(texts: list[str]) -> type[ChainError] | None:
    for kind, pattern in _TABLE:
        if any(pattern.search(text) for text in texts):
            return kind
    return None


def _by_code(error: Any) -> type[ChainError] | None:
    codes = _members(error, "code")
    return next((_CODES[code] for code in codes if code in _CODES), None)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for member in value.values():
            yield from _strings(member)
    elif isinstance(value, list):
        for member in value:
            yield from _strings(member)


def _members(value: Any, name: str) -> Iterator[Any]:
    if isinstance(value, dict):
        if isinstance(value.get(name), int | str):
            yield value[name]
        for member in value.values():
            yield from _members(member, name)


def _backoff_ms(error: Any) -> int:
    """Infura says in the error's data for how long to stay away; 0 when nobody says it."""
    told = next(_members(error, "backoff_seconds"), 0)
    return int(told) * 1_000 if str(told).isdecimal() else 0


def _revert_data(error: Any) -> bytes:
    for text in _members(error, "data"):
        # Some clients write "Reverted 0x…" where others write the hex alone.
        found = re.search(r"0x((?:[0-9a-fA-F]{2})*)", str(text))
        if found:
            return bytes.fromhex(found[1])
    return b""
