"""Run the workers: every stage behind the broker, from a delivery to its effect in SQL."""
