"""Chain adapters: everything that knows how one family of chains works."""
