"""One file per step of an order. Stages never import each other; the pipeline orders them."""
