CREATE INDEX screenings_unscored_by_customer ON screenings (tenant_id, customer, created_at)
    WHERE outcome = 'clear' AND order_id IS NOT NULL
        AND (reasons @? '$[*].code ? (@ starts with "abstained.")');

CREATE INDEX screenings_unscored_by_wallet ON screenings (tenant_id, wallet, created_at)
    WHERE outcome = 'clear' AND order_id IS NOT NULL
        AND (reasons @? '$[*].code ? (@ starts with "abstained.")');
