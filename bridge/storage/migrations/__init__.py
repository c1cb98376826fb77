"""Alembic's folder. Each version is plain SQL, because SQL is what gets reviewed."""
