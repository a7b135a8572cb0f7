"""Process everything behind the broker: from a delivery to its effect in SQL."""
