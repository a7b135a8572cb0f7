"""Change events and data by an operator's decision; each module is public."""
