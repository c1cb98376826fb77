DROP INDEX orders_paid;

DROP TABLE list_entries, list_versions, address_lists;
