"""Everything at once: load, kills, faults and reorganisations, then an audit from the outside."""
