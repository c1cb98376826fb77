DROP TRIGGER orders_held_by_cases ON orders;

DROP FUNCTION follow_hold();

-- The older schema knows one case per order: refused while an order has two, for none is forgotten.
DROP INDEX cases_of_order;

DROP INDEX cases_one_at_a_time;

CREATE UNIQUE INDEX cases_one_per_order ON cases (order_id);
