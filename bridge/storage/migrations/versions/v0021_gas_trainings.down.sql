DROP TABLE gas_trainings;
