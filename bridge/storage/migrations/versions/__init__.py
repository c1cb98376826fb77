"""One module per schema version, with its statements in ``.up.sql`` and ``.down.sql`` beside it."""
