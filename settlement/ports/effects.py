"""Every method through which something changes, and the name of the gap that it leaves behind.

What a process has done when it dies is a beginning of the sequence of its effects, so between any
two of them there is a gap, named after the earlier one. ``tests/engine/test_crashes.py`` stops the
engine in every gap that its stories reach, and refuses a port or a method of a port that is in no
table, and an effect of the pipeline that no story reaches; ``test_crashes_by_hand.py`` stops people
and the start behind each of theirs.
"""

from collections.abc import Mapping

GAPS: Mapping[str, str] = {
    # Cards
    "payment.create_intent": "intent-made-order-does-not-know-it",
    "payment.capture": "money-taken-not-recorded",
    "payment.cancel": "hold-released-not-recorded",
    "payment.refund": "money-given-back-not-recorded",
    # Orders
    "store.claim": "orders-leased-not-looked-at",
    "store.claim_for_batch": "orders-leased-not-planned",
    "store.apply_many": "orders-moved-next-stage-not-begun",
    "store.nudge": "order-made-due-event-not-settled",
    "store.save_screening": "verdict-kept-order-not-moved",
    "store.book": "loss-booked-event-not-settled",
    # Events of the provider
    "store.receive": "events-stored-not-worked",
    "store.claim_inbox": "events-leased-not-worked",
    "store.settle_inbox": "events-settled",
    "store.defer_inbox": "event-put-off",
    # Lanes
    "store.claim_lanes": "lanes-leased-not-worked",
    "store.renew_lane": "lease-renewed-work-unfinished",
    "store.release_lane": "lane-given-back",
    "store.leave_lanes": "worker-signed-off",
    "store.mark_low": "lane-marked-orders-not-told",
    "store.count_from": "nonce-corrected-not-planned",
    "store.fill_gap": "gap-planned-not-signed",
    # Batches
    "store.new_batch_id": "batch-id-drawn-not-planned",
    "store.plan": "batch-planned-not-signed",
    "chain.sign": "bytes-signed-not-stored",
    "store.store_attempt": "bytes-stored-not-sent",
    "chain.send": "bytes-sent-not-marked",
    "store.mark_sent": "bytes-marked-not-in-a-block",
    "store.apply_batch": "batch-moved-next-not-begun",
    "store.refuse_call": "call-refused",
    "store.ask": "batch-given-up-not-outbid",
    "store.stop_network": "network-stopped",
    "store.note_head": "head-noted-batches-not-followed",
    # Escrows
    "store.claim_escrows": "escrows-leased-not-looked-at",
    "store.apply_escrow": "escrow-moved-next-not-begun",
    "store.withdraw_call": "call-withdrawn-action-not-held",
    "store.claim_notes": "notes-leased-not-told",
    "payment.annotate": "note-told-not-noted",
    "store.noted": "note-noted",
}
"""Effects of the pipeline, each with the gap behind it."""

BY_HAND: Mapping[str, str] = {
    "store.request_call": "call-stored-not-planned",
    "store.ask_again": "batch-due-not-said",
    "store.start_network": "network-started",
    "store.pause_network": "network-paused",
    "store.resume_network": "network-resumed",
    "store.pause_lane": "lane-paused",
    "store.resume_lane": "lane-resumed",
    "store.register_network": "network-registered-without-lanes",
    "store.register_lane": "lane-registered",
}
"""Effects of people and of the start: one call each, nothing follows it in the same breath."""

READS: frozenset[str] = frozenset(
    {
        "payment.retrieve_intent",
        "payment.refunds_of",
        "payment.intents_since",
        "payment.events_since",
        "store.get",
        "store.find",
        "store.in_batch",
        "store.payouts",
        "store.unfinished",
        "store.events",
        "store.lanes",
        "store.taken_nonces",
        "store.open_batches",
        "store.requested_calls",
        "store.newest_event_at",
        "store.network",
        "store.available",
        "store.balances",
        "store.totals",
        "store.escrows_in",
        "store.approved_reasons",
        "store.call_outcome",
        "store.batch_outcome",
        "chain.normalize_address",
        "chain.batch_root",
        "chain.batch_size",
        "chain.singly",
        "chain.identity",
        "chain.head",
        "chain.block_hash",
        "chain.nonce",
        "chain.nonces",
        "chain.fees",
        "chain.preflight",
        "chain.refusal",
        "chain.inclusions",
        "chain.used_by",
        "chain.batch_recorded",
        "chain.balance",
        "screening.screen",
        "screening.vetoed",
        "prices.price",
        "gas.quote_fee_wei",
        "gas.outlook",
        "gas.decided",
        "escrow.call",
        "escrow.on_chain",
    }
)
"""What changes nothing that anybody acts upon, wherever it is asked."""
