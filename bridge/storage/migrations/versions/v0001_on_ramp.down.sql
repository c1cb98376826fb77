-- Take the on-ramp's tables away, data and all.

DROP TABLE
    audit_log,
    inbox,
    batch_attempts,
    batches,
    lanes,
    networks,
    ledger_entries,
    ledger_accounts,
    screenings,
    limit_usage,
    idempotency_keys,
    order_events,
    orders,
    quotes,
    api_keys,
    tenant_limits,
    tenants;

DROP SEQUENCE order_events_id_seq, ledger_entries_id_seq, batch_ids, audit_log_id_seq;

DROP FUNCTION refuse_change();
