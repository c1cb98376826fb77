"""A local Stripe: the part of Stripe's API that Tidegate uses, served from one process.

It exists so that the demo, the tests and a developer's machine run the very code that talks to
Stripe, through the official SDK, with nothing changed but the base URL. It imports nothing of
Tidegate outside this folder. Objects follow Stripe's OpenAPI document 2026-08-26.dahlia.
"""
