"""How a lane works: orders are planned into batches, signed and pushed, outbid, and concluded.

The stages ``submit`` and ``confirm`` call these in turn; each file is one step of a batch's life.
"""
