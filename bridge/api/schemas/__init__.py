"""What goes over the wire, one file per resource; unknown fields are refused by name."""
