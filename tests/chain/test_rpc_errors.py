"""The table of refusals, row by row, in the words of the nodes themselves."""

from pathlib import Path

import pytest

from chain import errors
from chain.rpc_errors import revert_reason, translate

TABLE = Path(__file__).with_name("node_refusals.tsv")


def rows() -> list[tuple[str, str, dict[str, object]]]:
    found = []
    for line in TABLE.read_text().splitlines():
        if line.startswith("#"):
            continue
        kind, node, code, message, *data = line.split("\t")
        error: dict[str, object] = {"code": int(code), "message": message}
        if data:
            error["data"] = data[0]
        found.append((kind, node, error))
    return found


@pytest.mark.parametrize(("expected", "node", "error"), rows())
def test_a_nodes_words_mean_one_thing(expected: str, node: str, error: dict[str, object]) -> None:
    """Each row of the table, in the words of the node named beside it."""
    assert type(translate(error)).__name__ == expected, node


@pytest.mark.parametrize(("expected", "node", "error"), rows())
def test_a_wrapping_proxy_does_not_change_the_meaning(
    expected: str, node: str, error: dict[str, object]
) -> None:
    """Proxies put the node's error into the data of an internal error of their own."""
    wrapped = {"code": -32603, "message": "Internal JSON-RPC error.", "data": error}
    assert type(translate(wrapped)).__name__ == expected, node


@pytest.mark.parametrize("error", [None, {}, [], "boom", 7, {"message": None}])
def test_an_error_of_no_known_shape_is_unclear(error: object) -> None:
    """Whatever a broken node sends, the question stays open."""
    assert type(translate(error)).__name__ == "UnclearAnswer"


def test_an_error_wrapped_twice_keeps_its_meaning() -> None:
    """Wallet middleware hides the node's words in ``data.originalError``."""
    inner = {"originalError": {"code": -32000, "message": "nonce too low"}}
    error = {"code": -32603, "message": "Internal JSON-RPC error.", "data": inner}
    assert isinstance(translate(error), errors.NonceTooLow)


def test_every_kind_of_error_answers_whether_to_try_again() -> None:
    """``transient`` is stated for each type, and unknown is always transient."""
    transient = {
        "RpcTimeout", "EndpointDown", "RateLimited", "UnclearAnswer", "NonceTooHigh",
        "Underpriced", "FeeCapBelowBase", "EndpointFeeCap", "PoolFull", "OutOfRange", "NoQuorum",
    }  # fmt: skip
    kinds = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and kind.__module__ == errors.__name__
    }
    assert {name for name, kind in kinds.items() if kind.transient} == transient


def test_a_revert_keeps_its_data_and_tells_its_reason() -> None:
    """``Error(string)`` is read; a custom error keeps its bytes for whoever knows the contract."""
    text = "08c379a0" + f"{32:064x}{5:064x}" + b"no go".hex().ljust(64, "0")
    reverted = translate({"code": 3, "message": "execution reverted", "data": "0x" + text})
    assert isinstance(reverted, errors.ExecutionReverted)
    assert (reverted.reason, reverted.data.hex()) == ("no go", text)
    assert revert_reason(bytes.fromhex("4e487b71" + f"{0x11:064x}")) == "panic 0x11"
    assert revert_reason(bytes.fromhex("08c379a0ff")) == ""
    nested = translate({"message": "execution reverted", "data": {"data": "Reverted 0xc2e5347d"}})
    assert isinstance(nested, errors.ExecutionReverted)
    assert nested.data.hex() == "c2e5347d"
