"""One file per network: what is true of the chain whoever uses it. Each defines ``NETWORK``."""
