"""What sending costs, and when it is worth it."""
