DROP TABLE gas_models;

DROP TABLE gas_decisions;

DROP TABLE gas_outlooks;

DROP TABLE gas_blocks;
