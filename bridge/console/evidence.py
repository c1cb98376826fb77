"""A verdict's evidence as lines for an officer: the path of the money, who moved the score, and
what would change it, each with transactions to look up."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bridge.storage.records import ScreeningRecord
from settlement.screening import BY_ADDRESS

_PPM_PER_CENT = 10_000


def evidence_lines(
    record: ScreeningRecord, payments: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Pairs of a word and a sentence. ``payments`` as ``Queries.payments_behind`` gives them."""
    behind = {(one["src"], one["dst"]): one["transactions"] for one in payments}
    shown: set[tuple[str, str]] = set()
    evidence = record.verdict.evidence
    for part in evidence.get(BY_ADDRESS, {"": evidence}).values():
        for finding in part.get("findings", ()):
            for step in finding["evidence"]:
                pair = step["src"], step["dst"]
                shown.add(pair)
                worth = f"worth {step['worth_cents'] // 100} in {step['count']}"
                yield "path", f"{pair[0]} -> {pair[1]}, {worth}{_txs(behind.get(pair, ()))}"
        explanation = part.get("explanation") or {}
        for peer in explanation.get("counterparties", ()):
            moved = (
                f"{peer['transfers']} {peer['direction']}, {peer['log_odds'] or 0:+.2f} log-odds"
            )
            yield "who", f"{peer['account']}, {moved}"
        for relief in explanation.get("rules", ()):
            yield "if", _relief(relief)
    for pair, txs in behind.items():
        if pair not in shown:
            yield "paid", f"{pair[0]} -> {pair[1]}{_txs(txs)}"


def _relief(relief: Mapping[str, Any]) -> str:
    left = f"{relief['share_ppm'] / _PPM_PER_CENT:.1f}%"
    least = f"{relief['least_ppm'] / _PPM_PER_CENT:.1f}%"
    names = ", ".join(relief["without"]) or "anybody"
    told = f"below {least}" if relief["is_enough"] else f"still not below {least}"
    return f"without the payments of {names} {relief['code']} is {left} of the rest, {told}"


def _txs(hashes: Sequence[str]) -> str:
    return "".join(f"\n        {tx}" for tx in hashes)
