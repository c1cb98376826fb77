DROP TABLE screening_models;
