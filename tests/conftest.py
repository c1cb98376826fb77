"""Shared fixtures, one module per topic in ``tests/support``."""

pytest_plugins = ["tests.support.postgres", "tests.support.stores"]
