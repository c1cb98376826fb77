-- What waits for its payment is looked at afresh.
UPDATE escrow_actions SET status = 'requested', hold = NULL, reason = NULL
WHERE hold IN ('refunded', 'disputed');

ALTER TABLE escrow_actions
    DROP CONSTRAINT escrow_actions_hold,
    ADD CONSTRAINT escrow_actions_hold CHECK (hold IN ('review', 'sanctions'));
