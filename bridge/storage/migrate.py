"""Bring a database to the newest schema; safe to call from several processes at once."""


def upgrade(dsn: str, revision: str = "head") -> None:
    """Apply what is missing, under an advisory lock. Synchronous: call it before the loop runs,
    or through ``asyncio.to_thread``."""
    raise NotImplementedError


def downgrade(dsn: str, revision: str = "base") -> None:
    """Take migrations back (for tests and emergencies)."""
    raise NotImplementedError
