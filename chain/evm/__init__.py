"""The EVM family: Ethereum, its rollups, and the local development chains."""
