"""True receipts: what holds is verified, with nothing of ours in reach of the script."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

import pytest

from settlement.ports.chain import Payout
from tests.chain.scripted_node import error, scripted_node
from tests.chain.world import NATIVE, deploy_code
from tests.receipts.conftest import SCRIPT, Receipt, Shop, Verify, needs_anvil

pytestmark = needs_anvil


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter of a customer's: the script's two packages, and nothing of this project.

    A ``.pth`` file names the folder of installed packages; what is installed there as a link (as
    this project is) is not followed by a second ``.pth``.
    """
    folder = tmp_path_factory.mktemp("stranger")
    venv.create(folder / "env", with_pip=False, symlinks=True)
    python = folder / "env" / "bin" / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "env" / "lib" / version / "site-packages"
    (packages / "theirs.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def run(python: Path, folder: Path, *options: str, given: str = "") -> subprocess.CompletedProcess:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    return subprocess.run(
        [str(python), *options],
        cwd=folder,
        env=environment,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("package", ["bridge", "chain", "settlement", "compliance_graph"])
def test_the_strangers_interpreter_has_none_of_our_packages(
    stranger: Path, tmp_path: Path, package: str
) -> None:
    """Else the next test would prove nothing."""
    done = run(stranger, tmp_path, "-c", f"import {package}")
    assert "ModuleNotFoundError" in done.stderr


def test_a_receipt_is_verified_from_an_empty_folder(
    stranger: Path, tmp_path: Path, shop: Shop, paid: list[Receipt]
) -> None:
    """A copy of the script, a receipt on standard input, a node: that is all it takes."""
    folder = tmp_path / "empty"
    folder.mkdir()
    script = tmp_path / "elsewhere" / "verify-receipt"
    script.parent.mkdir()
    shutil.copy(SCRIPT, script)
    text, options = json.dumps(paid[2]), ("-", "--rpc-url", shop.url)
    good = run(stranger, folder, str(script), *options, given=text)
    assert (good.returncode, good.stderr) == (0, "")
    assert "\nVERIFIED: order ord_" in good.stdout
    bad = run(
        stranger, folder, str(script), *options, given=text.replace('"index": 2', '"index": 1')
    )
    assert bad.returncode == 1
    assert "FAILED  proof" in bad.stdout
    assert "\nNOT VERIFIED" in bad.stdout
    for nonsense in ("{}", "[" * 100_000):
        none = run(stranger, folder, str(script), *options, given=nonsense)
        assert (none.returncode, none.stderr) == (2, "")
    assert list(folder.iterdir()) == []


def test_without_its_packages_it_says_what_to_do(tmp_path: Path) -> None:
    """Not a traceback, and not an exit status that could be taken for a finding."""
    done = run(Path(sys.executable), tmp_path, "-S", "-I", str(SCRIPT), "x", "--rpc-url", "y")
    assert done.returncode == 2
    assert "pip install" in done.stderr


def test_every_row_holds_and_every_check_is_told(
    verify: Verify, shop: Shop, paid: list[Receipt]
) -> None:
    """In words and as JSON; two endpoints that agree are two findings of each check."""
    for receipt in paid:
        assert verify(receipt).status == 0
    answer = verify(paid[0], urls=(shop.url, shop.url.replace("127.0.0.1", "localhost")))
    assert (answer.status, answer.said["verified"]) == (0, True)
    names = [check["name"] for check in answer.said["checks"]]
    assert names.count("transfer") == names.count("final") == 2
    plain = verify(paid[0], as_json=False).said["text"]
    assert "5.000000 DUSD" in plain
    assert plain.count("\nok ") >= 10


def test_amounts_of_an_address_in_any_case_are_the_same(
    verify: Verify, paid: list[Receipt]
) -> None:
    """A checksum is spelling; the account is the same."""
    lowered = {"recipient": paid[0]["recipient"].lower(), "vault": paid[0]["vault"].lower()}
    assert verify(paid[0] | lowered).status == 0


def test_an_endpoints_key_is_not_told(verify: Verify, shop: Shop, paid: list[Receipt]) -> None:
    """Paths and queries of endpoints hold keys, and findings are passed on."""
    said = verify(paid[0], urls=(f"{shop.url}/v3/s3cret?key=s3cret",)).said
    assert "s3cret" not in json.dumps(said)


@pytest.fixture(scope="module")
def coins(shop: Shop) -> list[Receipt]:
    """A batch of native coin."""
    return shop.pay(shop.orders(2, amount=10**15), asset=NATIVE)


def test_native_coin_is_seen_in_a_trace(verify: Verify, coins: list[Receipt]) -> None:
    """It leaves no log; the node's trace has the call that carried it."""
    answer = verify(coins[1])
    assert answer.status == 0
    [told] = [c["detail"] for c in answer.said["checks"] if c["name"] == "transfer"]
    assert "trace" in told


def test_native_coin_that_went_elsewhere_is_refused(verify: Verify, shop: Shop) -> None:
    """The root states one recipient, the coins went to another."""
    stated = shop.orders(2, amount=10**15)
    elsewhere = [stated[0], Payout("x", shop.orders(1)[0].wallet, stated[1].amount_minor)]
    lie = shop.pay(stated, paid=elsewhere, asset=NATIVE)[1]
    assert verify(lie).failed() == {"row", "transfer"}


def test_native_coin_that_was_sent_and_refused_is_no_transfer(verify: Verify, shop: Shop) -> None:
    """The trace shows the attempt, and that nothing came of it."""
    refuses = Payout("ord_refuses", deploy_code(shop.world, "60006000fd"), 10**15)
    [receipt] = shop.pay([refuses], asset=NATIVE)
    assert verify(receipt).failed() == {"vault's word", "batch event", "transfer"}


@pytest.mark.parametrize(
    ("refused", "state", "words"),
    [
        ({"debug_traceTransaction"}, "ok", "balance rose"),
        ({"debug_traceTransaction", "eth_getBalance"}, "note", "rests on the vault's code"),
    ],
)
async def test_without_a_trace_balances_show_it_or_the_reader_is_told(
    verify: Verify, shop: Shop, coins: list[Receipt], refused: set[str], state: str, words: str
) -> None:
    """Public nodes serve no traces, and few keep old balances."""

    def script(request: Any) -> Any:
        if request["method"] in refused:
            return error(-32601, "the method is not available")(request)
        return shop.world.ask(request["method"], *request["params"])

    async with scripted_node(script) as node:
        answer = await asyncio.to_thread(verify, coins[0], urls=(node.url,))
    [told] = [check for check in answer.said["checks"] if check["name"] == "transfer"]
    assert (answer.status, told["state"]) == (0, state)
    assert words in told["detail"]
