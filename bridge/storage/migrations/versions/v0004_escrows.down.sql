DELETE FROM ledger_accounts WHERE code IN ('escrow:held', 'escrow:owed');

ALTER TABLE ledger_accounts
    DROP CONSTRAINT ledger_accounts_code,
    ADD CONSTRAINT ledger_accounts_code CHECK (
        code IN ('stripe:receivable', 'customer:payable', 'income:processing', 'income:network',
        'income:spread', 'income:rounding', 'position', 'vault:inventory', 'hot_wallet',
        'expense:gas', 'treasury:equity', 'loss:refunds', 'loss:chain')
    );

DROP TABLE escrow_actions;

DROP TABLE escrows;

ALTER TABLE orders DROP COLUMN escrow_id, DROP COLUMN parties, DROP COLUMN settle_by;
