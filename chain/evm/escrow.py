"""The escrow contract's words: names, purses, messages, calls, states.

:class:`EvmEscrows` is arithmetic and needs no node; :class:`EvmEscrowPort` reads the contract's
state at the newest final block. ``contracts/src/interfaces/IEscrow.sol`` documents the contract.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from chain.artifacts import load_artifact
from chain.errors import ExecutionReverted
from chain.evm.addresses import normalize_address
from chain.evm.merkle import order_hash
from chain.evm.reads import Reads
from chain.evm.typed_data import Domain, described, signer_of
from settlement.errors import ChainError, ChainRefused, ChainUnknown, InvariantBroken
from settlement.escrow import (
    Attestation,
    Consent,
    Dispute,
    Escrow,
    Expiry,
    OnChain,
    Release,
    Resolution,
    Terms,
    What,
)
from settlement.ports.chain import ContractCall
from settlement.ports.escrow import EscrowPort, EscrowScheme, Place

_NOBODY = "0x" + "0" * 40
_RESOLVE_TIME = timedelta(days=30)
"""After which a dispute lapses that nobody resolved (``RESOLVE_TIME``)."""

_TERMS = (
    "(bytes32,address,uint256,address,address,address,address,address,uint64,bool)"  # IEscrow.Terms
)
_RELEASE = (("id", "bytes32"), ("total", "uint256"), ("evidence", "bytes32"))
_DIVISION = (
    ("id", "bytes32"),
    ("toPayee", "uint256"),
    ("toPayer", "uint256"),
    ("paidBefore", "uint256"),
)
_DISPUTE = (("id", "bytes32"), ("reason", "bytes32"))
_TYPES = {
    "Release": _RELEASE,
    "Settlement": _DIVISION,
    "Dispute": _DISPUTE,
    "Resolution": _DIVISION,
}

# A minimal proxy's creation code (ERC-1167, as OpenZeppelin's Clones writes it).
_CLONE_HEAD = bytes.fromhex("3d602d80600a3d3981f3363d3d373d3d3d363d73")
_CLONE_TAIL = bytes.fromhex("5af43d82803e903d91602b57fd5bf3")

_ERRORS = {
    keccak(text=f"{item['name']}({','.join(i['type'] for i in item['inputs'])})")[:4]: item
    for name in ("Escrow", "Purse")
    for item in load_artifact(name).abi
    if item["type"] == "error"
}


class EvmEscrows:
    """``settlement.ports.escrow.EscrowScheme`` on one EVM chain."""

    def __init__(self, chain_id: int, contract: str, operator: str) -> None:
        self.contract = contract
        self.operator = operator
        self._chain_id = chain_id

    def place(self, terms: Terms) -> Place:
        """Id and CREATE2 address of the purse, as ``idOf`` and ``purseOf`` say them."""
        members = [self._chain_id, terms.contract, _tuple(terms)]
        ref = keccak(encode(["uint256", "address", _TERMS], members))
        code = _CLONE_HEAD + _shared_purse(terms.contract) + _CLONE_TAIL
        deployer = bytes.fromhex(terms.contract[2:])
        return Place("0x" + ref.hex(), _address(b"\xff" + deployer + ref + keccak(code)))

    def signing(self, escrow: Escrow) -> Mapping[str, Any]:
        """The domain, and each message's members: a signer takes the one type that it signs."""
        return {
            "domain": self._domain(escrow.terms).members(),
            "types": {name: described(fields) for name, fields in _TYPES.items()},
        }

    def digest(self, escrow: Escrow, what: Attestation) -> str:
        name, values = _message(escrow, what)
        return "0x" + self._domain(escrow.terms).digest(name, _TYPES[name], values).hex()

    def has_signed(self, signer: str, digest: str, signature: str) -> bool:
        return signer_of(bytes.fromhex(digest[2:]), bytes.fromhex(signature[2:])) == signer

    def _domain(self, terms: Terms) -> Domain:
        return Domain("Tidegate Escrow", "1", self._chain_id, terms.contract)


class EvmEscrowPort:
    """``settlement.ports.escrow.EscrowPort`` on any JSON-RPC nodes."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    def call(self, terms: Terms, what: What) -> ContractCall:
        return ContractCall(terms.contract, call_data(terms, what))

    async def on_chain(self, escrow: Escrow) -> OnChain:
        number = (await self._reads.head()).final_number
        if number < 0:
            raise ChainUnknown("no block is final yet")
        data = _selector("state(bytes32)") + _bytes(escrow.ref)
        time, answer = await self._reads.answer_at(number, escrow.terms.contract, data)
        if len(answer) != 4 * 32:
            raise ChainUnknown(f"there is no escrow contract at {escrow.terms.contract}")
        released, refunded, disputed_at, ended = decode(
            ["uint128", "uint128", "uint64", "bool"], answer
        )
        disputed = _moment(disputed_at) if disputed_at else None
        return OnChain(
            block_number=number,
            time=time,
            released_minor=released,
            refunded_minor=refunded,
            disputed_at=disputed,
            dispute_open=disputed is not None and time < disputed + _RESOLVE_TIME,
            ended=ended,
        )


def call_data(terms: Terms, what: What) -> bytes:
    """Calldata of the contract's function for ``what``."""
    match what:
        case Release(total, evidence, signature):
            types = ["uint256", "bytes32", "bytes"]
            return _call("release", types, terms, total, _bytes(evidence), _bytes(signature))
        case Consent(to_payee, to_payer, payer, payee):
            types = ["uint256", "uint256", "bytes", "bytes"]
            return _call("settle", types, terms, to_payee, to_payer, _bytes(payer), _bytes(payee))
        case Dispute(by, reason, signature):
            types = ["address", "bytes32", "bytes"]
            return _call("dispute", types, terms, by, _bytes(reason), _bytes(signature))
        case Resolution(to_payee, to_payer, signature):
            types = ["uint256", "uint256", "bytes"]
            return _call("resolve", types, terms, to_payee, to_payer, _bytes(signature))
        case Expiry():
            return _call("expire", [], terms)


def explain(error: ChainError) -> ChainError:
    """Name a revert by the contract's own error; others come back as they are."""
    item = _ERRORS.get(error.data[:4]) if isinstance(error, ExecutionReverted) else None
    if item is None or not isinstance(error, ExecutionReverted):
        return error
    values = decode([i["type"] for i in item["inputs"]], error.data[4:])
    shown = ", ".join(v.hex() if isinstance(v, bytes) else str(v) for v in values)
    return ChainRefused(f"the escrow refuses: {item['name']}({shown})")


def _message(escrow: Escrow, what: Attestation) -> tuple[str, dict[str, Any]]:
    """The EIP-712 type and members of what is signed."""
    id_ = {"id": _bytes(escrow.ref)}
    match what:
        case Release(total, evidence):
            return "Release", {**id_, "total": total, "evidence": _bytes(evidence)}
        case Dispute(_, reason):
            return "Dispute", {**id_, "reason": _bytes(reason)}
        case Consent(to_payee, to_payer) | Resolution(to_payee, to_payer):
            name = "Settlement" if isinstance(what, Consent) else "Resolution"
            shares = {"toPayee": to_payee, "toPayer": to_payer, "paidBefore": escrow.paid_minor}
            return name, {**id_, **shares}


def _tuple(terms: Terms) -> tuple[Any, ...]:
    """``IEscrow.Terms`` in the order of its members."""
    seconds = int(terms.expires_at.timestamp())
    if terms.expires_at != _moment(seconds):
        raise InvariantBroken(f"{terms.order_id}: an expiry has whole seconds")
    return (
        order_hash(terms.order_id),
        terms.token,
        terms.amount_minor,
        terms.payer,
        terms.payee,
        terms.arbiter,
        terms.oracle or _NOBODY,
        terms.operator,
        seconds,
        terms.pays_at_expiry,
    )


def _call(name: str, types: list[str], terms: Terms, *values: Any) -> bytes:
    signature = f"{name}({','.join([_TERMS, *types])})"
    return _selector(signature) + encode([_TERMS, *types], [_tuple(terms), *values])


def _selector(signature: str) -> bytes:
    return keccak(text=signature)[:4]


def _shared_purse(contract: str) -> bytes:
    """The first contract that ``contract`` created (CREATE, nonce 1): the code of all purses."""
    return keccak(b"\xd6\x94" + bytes.fromhex(contract[2:]) + b"\x01")[12:]


def _address(preimage: bytes) -> str:
    return normalize_address("0x" + keccak(preimage)[12:].hex())


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _conforms(scheme: EvmEscrows, port: EvmEscrowPort) -> tuple[EscrowScheme, EscrowPort]:
    """Never called: the type checker compares the adapter with its ports here."""
    return scheme, port
