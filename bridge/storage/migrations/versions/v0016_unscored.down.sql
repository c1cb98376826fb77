DROP INDEX screenings_unscored_by_wallet;

DROP INDEX screenings_unscored_by_customer;
