"""``tidegate serve``: everything on this machine, from an empty folder to a completed order."""
