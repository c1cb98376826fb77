"""How an escrow is worked: agreed on, attested, observed, acted upon. Pure decisions.

The stage (:mod:`settlement.stages.escrow`) calls outside between them and stores what they say.
"""
