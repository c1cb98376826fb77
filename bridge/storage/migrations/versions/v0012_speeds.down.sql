ALTER TABLE orders DROP COLUMN speed, DROP COLUMN network_fee_wei;

ALTER TABLE quotes DROP COLUMN speed, DROP COLUMN network_fee_wei;
