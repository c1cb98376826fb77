"""Inventory and gas money: putting them on a chain, booking them, and comparing both books."""
