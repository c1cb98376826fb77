"""The transactions behind what an officer is shown: what they look up in a block explorer.

Looked up when a case is shown or decided, never while a wallet is judged.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from settlement.screening import BY_ADDRESS

SHOWN = 5
_NEWEST = """
    SELECT p.src, p.dst, t.tx
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS p (src, dst, at)
    JOIN graph_nodes s ON s.address = p.src
    JOIN graph_nodes d ON d.address = p.dst
    CROSS JOIN LATERAL (
        SELECT tx, max(time_s) AS time_s FROM graph_transfers
        WHERE graph_transfers.src = s.id AND graph_transfers.dst = d.id
        GROUP BY tx ORDER BY max(time_s) DESC, tx LIMIT $3
    ) AS t
    ORDER BY p.at, t.time_s DESC, t.tx
"""

Pair = tuple[str, str]


async def payments_behind(
    connection: Any, wallet: str, evidence: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """For each step of a path and each counterparty in a verdict's evidence ``src``, ``dst`` and
    ``transactions``: hashes, the newest first, :data:`SHOWN` at most.

    ``connection`` is asyncpg's, or a pool. Pairs of which no source knows a payment are left out.
    """
    pairs = list(dict.fromkeys(_pairs(wallet, evidence)))
    if not pairs:
        return []
    rows = await connection.fetch(_NEWEST, *map(list, zip(*pairs, strict=True)), SHOWN)
    found: dict[Pair, list[str]] = {}
    for row in rows:
        found.setdefault((row["src"], row["dst"]), []).append(row["tx"])
    return [{"src": src, "dst": dst, "transactions": txs} for (src, dst), txs in found.items()]


def _pairs(wallet: str, evidence: Mapping[str, Any]) -> Iterator[Pair]:
    for address, part in evidence.get(BY_ADDRESS, {wallet: evidence}).items():
        for finding in part.get("findings", ()):
            for step in finding["evidence"]:
                yield step["src"], step["dst"]
        explanation = part.get("explanation") or {}
        opinion = explanation.get("second_opinion") or {}
        shown = (*explanation.get("counterparties", ()), *opinion.get("payments", ()))
        for peer in shown:
            own = _node_name(address)
            if peer["direction"] != "out":
                yield peer["account"], own
            if peer["direction"] != "in":
                yield own, peer["account"]


def _node_name(wallet: str) -> str:
    """As the transfer graph names it: an order's wallet is in its chain's own form already, and
    hexadecimal counts without case."""
    return wallet.lower() if wallet.startswith("0x") else wallet
