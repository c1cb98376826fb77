"""One file per resource of Stripe's API; each ends with the table of its routes."""
