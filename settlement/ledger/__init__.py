"""Double entry: accounts, entries, and the one table from event to entries."""
