"""What anvil forgets about its own first block, and we must not."""

import copy
import json
from pathlib import Path

from chain.local.anvil import AnvilOptions, start_anvil
from chain.local.jsonrpc import LocalRpc
from tests.chain.conftest import needs_anvil

OPTIONS = AnvilOptions(finality_interval_s=None)


def first_blocks(url: str) -> list[str]:
    rpc = LocalRpc(url)
    try:
        return [
            rpc.call("eth_getBlockByNumber", number, False)["hash"] for number in ("0x0", "0x1")
        ]
    finally:
        rpc.close()


def add_later_geneses(state_file: Path, count: int) -> None:
    """What ``count`` restarts leave behind: a genesis each, before and behind the first one."""
    state = json.loads(state_file.read_text())
    [genesis] = [b for b in state["blocks"] if int(b["header"]["number"], 16) == 0]
    for later in range(1, count + 1):
        block = copy.deepcopy(genesis)
        block["header"]["timestamp"] = hex(int(genesis["header"]["timestamp"], 16) + later)
        state["blocks"].insert(0 if later % 2 else len(state["blocks"]), block)
    state_file.write_text(json.dumps(state))


@needs_anvil
def test_a_chain_that_was_started_many_times_keeps_its_first_block(tmp_path: Path) -> None:
    """anvil dumps one genesis per start in any order; ours is the oldest of them."""
    chain = start_anvil(tmp_path, options=OPTIONS)
    LocalRpc(chain.url).call("evm_mine")
    before = first_blocks(chain.url)
    chain.stop()
    add_later_geneses(tmp_path / "anvil-state.json", 6)
    again = start_anvil(tmp_path, options=OPTIONS)
    try:
        assert first_blocks(again.url) == before
    finally:
        again.kill()
