"""The rules of money: what an order may do, what each step books, and when it may leave.

Standard library only. Everything outside (cards, chains, lists, clocks, rows) is reached
through the protocols in :mod:`settlement.ports`, so that these rules can be read, tested and
audited without any of them.
"""
