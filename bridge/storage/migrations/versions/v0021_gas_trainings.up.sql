CREATE TABLE gas_trainings (
    network TEXT NOT NULL,
    begun_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (network)
);
