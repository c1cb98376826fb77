"""Alembic's entry: :mod:`bridge.storage.migrate` hands over an open connection, nothing else."""

from alembic import context

from bridge.storage.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
