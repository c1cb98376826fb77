DROP INDEX orders_of_party;
