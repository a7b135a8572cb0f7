"""Prepare the broker, the database and the platform for the service; each module is public."""
