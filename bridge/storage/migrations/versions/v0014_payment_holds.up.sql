ALTER TABLE escrow_actions
    DROP CONSTRAINT escrow_actions_hold,
    ADD CONSTRAINT escrow_actions_hold
        CHECK (hold IN ('review', 'sanctions', 'refunded', 'disputed'));
