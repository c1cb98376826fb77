"""The policy file as typed values: what is a risk, from where on, and what follows.

The packaged ``policy.toml`` explains every entry; a deployment may name a file of its own, which
has to be complete: a threshold that somebody forgot must not be a threshold of zero.
"""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from settlement.errors import InvalidInput
from settlement.ids import TenantId
from settlement.money import Asset, Money

Severity = Literal["note", "review"]
SANCTIONED = "sanctioned"
_BEFORE: Mapping[str, Mapping[str, Any]] = {"pass_through": {"payment_ppm": 500_000}}
"""Thresholds that a policy kept for replay may lack, and what its verdicts were judged by."""


class PolicyError(InvalidInput):
    """The policy file cannot be used; the message names the entry."""


@dataclass(frozen=True, slots=True)
class Category:
    """A kind of counterparty. ``number`` counts from 1, in the order of the file."""

    name: str
    number: int
    words: frozenset[str]
    note_ppm: int
    in_ppm: int
    out_ppm: int
    severity: Severity


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern's severity and thresholds; :meth:`at` gives one by its name in the file."""

    name: str
    severity: Severity
    thresholds: Mapping[str, Any]

    def at(self, threshold: str) -> Any:
        return self.thresholds[threshold]


@dataclass(frozen=True, slots=True)
class Policy:
    """``version`` is the first 16 hex digits of the SHA-256 of the file's bytes."""

    version: str
    worth: Mapping[str, float]
    dust: float
    transfers_max: int
    notes_for_review: int
    stale_after_s: int
    clear_up_to: Mapping[str, int]
    window_days: int
    clear_in_window: Mapping[str, int] | None
    tenants: Mapping[TenantId, Mapping[str, int]]
    hops: int
    least_worth: float
    steps_max: int
    categories: tuple[Category, ...]
    services: frozenset[str]
    rules: Mapping[str, Rule]

    def within_limit(self, tenant_id: TenantId, amount: Money | None) -> bool:
        """Whether an unscored wallet may be paid for that much by lists and rules alone."""
        if amount is None:
            return False
        limit = self._limit(tenant_id, amount.asset)
        return _is_within(limit, amount.amount_minor, amount.asset)

    def within_window(self, tenant_id: TenantId, amount: Money, before_minor: int) -> bool:
        """Whether that much and what was cleared unscored before stay within the window's limit,
        which is never less than what goes unlooked at in one order."""
        if self.clear_in_window is None:
            return True  # a policy from before there was a window: its verdicts come out as then
        limits = (self.clear_in_window.get(amount.asset.code), self._limit(tenant_id, amount.asset))
        limit = max((limit for limit in limits if limit is not None), default=None)
        return _is_within(limit, before_minor + amount.amount_minor, amount.asset)

    def _limit(self, tenant_id: TenantId, asset: Asset) -> int | None:
        return self.tenants.get(tenant_id, self.clear_up_to).get(asset.code)


def load_policy(path: Path | None = None) -> Policy:
    """The packaged policy, or the deployment's. Raises :class:`PolicyError`."""
    return complete_policy(read_policy(path))


def complete_policy(content: bytes) -> Policy:
    """A policy to judge by from now on. Raises :class:`PolicyError`, also for what only policies
    that are kept for replay may lack."""
    policy = _read(content, {})
    if policy.clear_in_window is None:
        raise PolicyError("the policy lacks the entry 'abstention.clear_in_window'")
    if policy.window_days < 1:
        raise PolicyError("abstention.window_days must be above zero")
    return policy


def read_policy(path: Path | None = None) -> bytes:
    """The file of the packaged policy, or the deployment's. Raises :class:`PolicyError`."""
    source = path or resources.files("compliance_graph") / "policy.toml"
    try:
        return source.read_bytes()
    except OSError as error:
        raise PolicyError(f"{path}: {error.strerror}") from error


def parse_policy(content: bytes) -> Policy:
    """A policy to make verdicts again by. Raises :class:`PolicyError` naming what is missing or of
    the wrong kind."""
    return _read(content, _BEFORE)


def _read(content: bytes, before: Mapping[str, Mapping[str, Any]]) -> Policy:
    try:
        entries = tomllib.loads(content.decode())
        return _parsed(entries, hashlib.sha256(content).hexdigest()[:16], before)
    except KeyError as error:
        raise PolicyError(f"the policy lacks the entry {error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError, ValueError) as error:
        raise PolicyError(f"the policy cannot be read: {error}") from error


def _parsed(
    entries: Mapping[str, Any], version: str, before: Mapping[str, Mapping[str, Any]]
) -> Policy:
    general, exposure = entries["general"], entries["exposure"]
    abstention = entries["abstention"]
    complete = tomllib.loads((resources.files("compliance_graph") / "policy.toml").read_text())
    rules = {}
    for name, known in complete["rule"].items():
        thresholds = {**before.get(name, {}), **entries["rule"][name]}
        if missing := known.keys() - thresholds.keys():
            lacks = min(missing)
            raise PolicyError(
                f"the policy lacks the entry 'rule.{name}.{lacks}'; "
                f"the packaged policy has {lacks} = {known[lacks]!r}"
            )
        rules[name] = Rule(name, _severity(thresholds["severity"]), thresholds)
    return Policy(
        version=version,
        worth={code: _positive(worth) for code, worth in entries["worth"].items()},
        dust=_positive(general["dust"]),
        transfers_max=int(general["transfers_max"]),
        notes_for_review=int(general["notes_for_review"]),
        stale_after_s=int(general["stale_after_s"]),
        clear_up_to=_limits(abstention["clear_up_to"]) or {},
        window_days=int(abstention.get("window_days", 0)),
        clear_in_window=_limits(abstention.get("clear_in_window")),
        tenants={
            TenantId(name): dict(limits) for name, limits in abstention.get("tenants", {}).items()
        },
        hops=int(exposure["hops"]),
        least_worth=_positive(exposure["least_worth"]),
        steps_max=int(exposure["steps_max"]),
        categories=tuple(
            _category(name, number, entry)
            for number, (name, entry) in enumerate(entries["category"].items(), 1)
        ),
        services=frozenset(entries["services"]["words"]),
        rules=rules,
    )


def _category(name: str, number: int, entry: Mapping[str, Any]) -> Category:
    return Category(
        name,
        number,
        frozenset(entry["words"]),
        int(entry["note_ppm"]),
        int(entry["in_ppm"]),
        int(entry["out_ppm"]),
        _severity(entry["severity"]),
    )


def _limits(entry: Mapping[str, Any] | None) -> dict[str, int] | None:
    return None if entry is None else {code: int(most) for code, most in entry.items()}


def _is_within(limit: int | None, minor: int, asset: Asset) -> bool:
    return limit is not None and Fraction(minor, 10**asset.scale) <= limit


def _severity(text: str) -> Severity:
    if text not in ("note", "review"):
        raise ValueError(f"severity {text!r} is neither note nor review")
    return text  # type: ignore[return-value]


def _positive(number: Any) -> float:
    if not 0 < float(number) < float("inf"):
        raise ValueError(f"{number!r} must be above zero")
    return float(number)
