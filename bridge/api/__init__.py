"""The REST API: one module per resource, its schemas beside in ``schemas/``.

A handler translates: it reads a request, calls the core's rules and the store, and shows the
result. Errors become problem documents in one table (``errors``), access is one table (``auth``).
"""
