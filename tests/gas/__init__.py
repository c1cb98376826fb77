"""The gas forecast and policy."""
