-- What waits for its payment goes on waiting: for a person, since the older schema cannot tell why.
UPDATE escrow_actions SET hold = 'review' WHERE hold IN ('refunded', 'disputed');

ALTER TABLE escrow_actions
    DROP CONSTRAINT escrow_actions_hold,
    ADD CONSTRAINT escrow_actions_hold CHECK (hold IN ('review', 'sanctions'));
