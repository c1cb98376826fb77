"""The few synchronous JSON-RPC calls that starting and keeping a local chain needs.

Everything that moves money goes through the asynchronous :mod:`chain.rpc`; a launcher runs before
there is an event loop, so it has this.
"""

from typing import Any

import httpx


class LocalRpc:
    """Calls to a chain process of our own; raises ``httpx.HTTPError`` or ``LookupError``."""

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        # Without TLS: reading the machine's certificates takes longer than all else here.
        self._client = httpx.Client(base_url=url, timeout=timeout_s, trust_env=False, verify=False)

    def call(self, method: str, *params: Any) -> Any:
        """The ``result`` member of the answer; ``LookupError`` when the node answers an error."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = self._client.post("", json=request).raise_for_status().json()
        if "result" not in answer:
            raise LookupError(f"{method}: {answer.get('error')}")
        return answer["result"]

    def answers(self) -> bool:
        """Whether a JSON-RPC server answers at all."""
        try:
            self.call("eth_chainId")
        except (httpx.HTTPError, LookupError, ValueError):
            return False
        return True

    def close(self) -> None:
        self._client.close()
