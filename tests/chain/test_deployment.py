"""The deployment file: what is wrong with it is said in words, without showing a provider's key."""

import json
from dataclasses import replace

import pytest

from chain.deployment import NATIVE, Deployment, Token, load_deployments, save_deployment
from chain.networks.local import NETWORK
from settlement.errors import InvalidInput

KEY = "0123456789abcdef"
URLS = [f"https://{name}.example/v3/{KEY}" for name in ("one", "two", "three")]


def entry(**changes):
    return {"rpc_urls": URLS, "vault": "0x11", "tokens": [], "lanes": [], **changes}


def write(path, **changes):
    path.write_text(json.dumps({"local": entry(**changes)}))
    return path


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rpc_urls": []}, "at least one URL"),
        ({"rpc_urls": URLS[0]}, "must be a list"),
        ({"rpc_urls": [URLS[0], "ws://one.example"]}, "number 2 of rpc_urls is no http"),
        ({"rpc_urls": ["http://"]}, "number 1 of rpc_urls is no http"),
        ({"rpc_urls": [8545]}, "number 1 of rpc_urls is no http"),
        ({"rpc_urls": [URLS[0], URLS[1], URLS[0] + "/"]}, "number 3 of rpc_urls is listed twice"),
        ({"quorum": 0}, "from 1 to 3"),
        ({"quorum": 4}, "from 1 to 3"),
        ({"quorum": "2"}, "whole number"),
        ({"quorum": True}, "whole number"),
        ({"quorum": 1.5}, "whole number"),
    ],
)
def test_what_no_endpoints_can_be_is_refused(tmp_path, changes, says):
    """File, network and place are named."""
    path = write(tmp_path / "deployments.json", **changes)
    with pytest.raises(InvalidInput, match=says) as caught:
        load_deployments(path)
    assert "deployments.json: local: " in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("quorum", [None, 2])
def test_a_deployment_is_read_back_as_it_was_written(tmp_path, quorum):
    """Without a quorum the file does not name one."""
    path = tmp_path / "deployments.json"
    deployment = Deployment("local", tuple(URLS), "0x11", (), ("0x22",), quorum)
    save_deployment(path, deployment)
    assert load_deployments(path) == {"local": deployment}
    assert ("quorum" in json.loads(path.read_text())["local"]) is (quorum is not None)


@pytest.mark.parametrize(
    "token",
    [Token("ETH", 18, "0x" + "11" * 20), Token("ETHER", 18, NATIVE), Token("ETH", 6, NATIVE)],
)
def test_nothing_else_is_listed_as_the_networks_own_coin(token: Token) -> None:
    """It would be priced as one and paid as the other."""
    deployment = Deployment("local", ("http://x",), "0xvault", (token,), ())
    with pytest.raises(InvalidInput):
        deployment.check_native(NETWORK.native)
    listed = replace(deployment, tokens=(Token("ETH", 18, NATIVE),))
    listed.check_native(NETWORK.native)
