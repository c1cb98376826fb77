"""The same ports in memory, for property tests: the same guards, refusals and totals.

``tests/conformance`` runs one suite over this and the PostgreSQL store.
"""

from bridge.storage.memory.store import MemoryStore

__all__ = ["MemoryStore"]
