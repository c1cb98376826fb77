DROP TABLE screening_policies;
